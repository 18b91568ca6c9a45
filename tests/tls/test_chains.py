"""The certificates that are sent, their order, and the warning about a missing one."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from seic import CertificateError, CertificateWarning, ClientCertificate, Config, Reason, create_ssl_context
from tests._support.pkcs12 import store_of
from tests._support.pki import DAY, NOW, PASSPHRASE, Minted, authority, mint, server
from tests._support.tls_servers import TlsServer, call


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_chain_is_put_in_order(order: tuple[int, ...], root: Minted) -> None:
    """The chain runs from the leaf upwards in any order of the file, without unrelated certificates."""
    between = mint("Test Intermediate", issuer=root, ca=True, number=71)
    minted = mint(issuer=between)
    parts = [minted.pem, between.pem, root.pem]
    stranger = mint("Stranger", ca=True, number=72).pem

    certificate = ClientCertificate.load(stranger + b"".join(parts[i] for i in order) + minted.key_pem)

    assert [link.der for link in certificate.chain] == [between.der, root.der]
    assert certificate.awaited_issuer is None


def test_an_intermediate_of_the_same_name_and_another_key_is_no_link(root: Minted) -> None:
    """The signature decides: an older intermediate of the same name does not count."""
    between = mint("Test Intermediate", issuer=root, ca=True, number=71)
    other = mint("Test Intermediate", issuer=root, ca=True, number=73)
    minted = mint(issuer=between)

    certificate = ClientCertificate.load(minted.pair + other.pem + between.pem)

    assert [link.der for link in certificate.chain] == [between.der]
    assert certificate.awaited_issuer == "CN=Test Root"


VALID, ENDING, PAST, COMING = (
    mint(issuer=authority(), not_before=NOW + begin * DAY, not_after=NOW + end * DAY)
    for begin, end in ((-1, 700), (-300, 1), (-400, -1), (1, 800))
)


@pytest.mark.parametrize(
    ("held", "ours"),
    [
        pytest.param((VALID, ENDING), VALID, id="both-valid"),
        pytest.param((PAST, VALID), VALID, id="one-expired"),
        pytest.param((ENDING, COMING), ENDING, id="the-newer-not-yet-valid"),
        pytest.param((PAST, COMING), COMING, id="none-valid"),
        pytest.param((PAST, ENDING, VALID, COMING), VALID, id="all"),
    ],
)
def test_of_several_certificates_for_one_key_the_one_that_serves_longest_is_ours(
    held: tuple[Minted, ...], ours: Minted
) -> None:
    """Of the old and the renewed certificate, in any order, the valid one that ends last is used, with a warning."""
    for order in (held, held[::-1]):
        certificate = ClientCertificate.load(b"".join(one.pem for one in order) + ours.key_pem)

        assert certificate.leaf.der == ours.der
        warned = [
            one
            for one in certificate.check(ours.certificate.not_valid_before_utc)
            if one.reason == Reason.SEVERAL_CERTIFICATES
        ]
        assert len(warned) == 1
        assert f"it holds {len(held)} certificates with their keys" in str(warned[0])
        assert "remove the others" in str(warned[0])


OLD_KEY, NEW_KEY, NEWEST_KEY = (
    mint(issuer=authority(), not_before=NOW + begin * DAY, not_after=NOW + end * DAY, number=number, key=key)
    for number, key, begin, end in ((20, "rsa", -400, -1), (21, "ec", -1, 300), (22, "rsa", 1, 800))
)


@pytest.mark.parametrize(
    ("held", "ours"),
    [
        pytest.param((OLD_KEY, NEW_KEY), NEW_KEY, id="expired and renewed"),
        pytest.param((NEW_KEY, NEWEST_KEY), NEW_KEY, id="the renewed one not yet valid"),
        pytest.param((OLD_KEY, NEWEST_KEY), NEWEST_KEY, id="none valid"),
        pytest.param((OLD_KEY, NEW_KEY, NEWEST_KEY), NEW_KEY, id="all"),
    ],
)
@pytest.mark.parametrize("form", ["pairs", "separate", "encrypted", "PKCS#12"])
def test_of_several_pairs_the_valid_one_that_ends_last_is_ours(
    form: str, held: tuple[Minted, ...], ours: Minted
) -> None:
    """A renewal has another key. The warning names the rest."""
    for order in (held, held[::-1]):
        if form == "PKCS#12":
            certificate = ClientCertificate.load(store_of(*order), password=PASSPHRASE)
        elif form == "pairs":
            certificate = ClientCertificate.load(b"".join(one.pair for one in order))
        else:
            password = PASSPHRASE if form == "encrypted" else None
            keys = b"".join(one.key_bytes(password=password) for one in order)
            pem = b"".join(one.pem for one in order[::-1])
            certificate = ClientCertificate.load(pem, key=keys, password=password)

        assert certificate.leaf.der == ours.der
        assert certificate.reveal_key() == ours.key_bytes(encoding=Encoding.DER)
        (warned,) = certificate.check(ours.certificate.not_valid_before_utc)
        assert warned.reason == Reason.SEVERAL_CERTIFICATES
        assert f"it holds {len(held)} certificates with their keys" in str(warned)
        for one in held:
            assert str(one.certificate.not_valid_after_utc.date()) in str(warned)


def test_the_pair_that_is_chosen_is_presented(root: Minted) -> None:
    """The server of a real handshake sees the renewed certificate."""
    certificate = ClientCertificate.load(OLD_KEY.pair + NEW_KEY.pair)
    with pytest.warns(CertificateWarning, match="remove the others"):
        context = create_ssl_context(certificate=certificate, ca=root.pem)
    with TlsServer(server(root), trusts=root) as peer:
        assert call(context, peer.port).endswith(b"ok")
    assert peer.peers == [NEW_KEY.der]


@pytest.mark.parametrize("same_key", [True, False])
def test_pairs_of_several_subjects_are_an_error(same_key: bool) -> None:
    """Which account is meant is not known, whatever the dates; the error names them."""
    other = mint("other-user", issuer=authority(), number=21 if same_key else 20, not_after=NOW + 900 * DAY)
    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(NEW_KEY.pair + other.pair)
    assert caught.value.reason == Reason.SEVERAL_CERTIFICATES
    assert "CN=svc-user (to " in str(caught.value)
    assert "CN=other-user (to " in str(caught.value)


@pytest.mark.parametrize("form", ["PEM", "PKCS#12"])
def test_of_pairs_of_several_subjects_the_accounts_own_is_ours(form: str) -> None:
    """By its CN, although another ends later; a name that none has is the same error as no name."""
    other = mint("other-user", issuer=authority(), number=20, not_after=NOW + 900 * DAY)
    pairs = (NEW_KEY, other, OLD_KEY)
    data = b"".join(one.pair for one in pairs) if form == "PEM" else store_of(*pairs)
    certificate = ClientCertificate.load(data, password=PASSPHRASE, common_name="svc-user")
    assert certificate.leaf.der == NEW_KEY.der
    with pytest.raises(CertificateError, match=r"CN=other-user \(to .*pass the name of one as common_name=") as caught:
        ClientCertificate.load(data, password=PASSPHRASE, common_name="nobody")
    assert caught.value.reason == Reason.SEVERAL_CERTIFICATES


def test_the_username_of_the_environment_chooses_the_pair(tmp_path: Path) -> None:
    """The error of a name that none has tells the variable."""
    path = tmp_path / "pairs.pem"
    path.write_bytes(NEW_KEY.pair + mint("other-user", issuer=authority(), number=20).pair)
    path.chmod(0o600)
    environ = {
        "SEIC_PROVIDER": "sei-gateway",
        "SEIC_ENVIRONMENT": "production",
        "SEIC_CLIENT_ID": "id",
        "SEIC_CLIENT_SECRET": "secret",
        "SEIC_USERNAME": "svc-user",
        "SEIC_PASSWORD": "password",
        "SEIC_CERTIFICATE": str(path),
    }
    config = Config.from_env(environ=environ)
    assert isinstance(config.certificate, ClientCertificate)
    assert config.certificate.leaf.der == NEW_KEY.der
    with pytest.raises(CertificateError, match="pass the name of one as SEIC_USERNAME"):
        Config.from_env(environ={**environ, "SEIC_USERNAME": "nobody"})


def test_an_expired_pair_with_a_renewal_that_cannot_be_read_names_both() -> None:
    """The dates alone would send the user to the issuer, who has renewed it already."""
    data = OLD_KEY.pair + NEW_KEY.pem + NEW_KEY.key_bytes(password=PASSPHRASE)
    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(data).check(NOW)
    assert caught.value.reason == Reason.EXPIRED
    assert "another key in the files may be its renewal: the certificate given as bytes: it is encrypted" in str(
        caught.value
    )
    assert "pass password=" in str(caught.value)
    assert ClientCertificate.load(data, password=PASSPHRASE).leaf.der == NEW_KEY.der


def test_pairs_that_are_not_of_clients_are_no_choice(root: Minted) -> None:
    """An authority's or a server's pair in the same file is left alone, although it ends later."""
    host = server(root, number=74, not_after=NOW + 900 * DAY)
    certificate = ClientCertificate.load(root.pair + host.pair + NEW_KEY.pair)
    assert certificate.leaf.der == NEW_KEY.der


def test_a_further_key_that_cannot_be_read_is_a_warning() -> None:
    """The pair that can be read is used."""
    sealed = OLD_KEY.pem + OLD_KEY.key_bytes(password="another")
    certificate = ClientCertificate.load(sealed + NEW_KEY.pair, password=PASSPHRASE)
    assert certificate.leaf.der == NEW_KEY.der
    assert "a key that cannot be read: the certificate given as bytes: the passphrase does not" in str(
        certificate.check(NOW)[0]
    )


def test_of_two_intermediates_with_one_key_the_valid_one_is_sent(root: Minted) -> None:
    """An intermediate is renewed with its key, too."""
    old, new = (
        mint("Between", issuer=root, ca=True, number=71, not_before=NOW - 400 * DAY, not_after=NOW + end * DAY)
        for end in (-1, 300)
    )
    minted = mint(issuer=old)
    for order in (old.pem + new.pem, new.pem + old.pem):
        certificate = ClientCertificate.load(minted.pair + order)
        assert [link.der for link in certificate.chain] == [new.der]


def test_the_same_certificate_twice_is_no_second_one(client: Minted) -> None:
    """A repeated block changes nothing and causes no warning."""
    assert not ClientCertificate.load(client.pem + client.pair).check(NOW)


def test_a_chain_without_the_issuer_is_a_warning(root: Minted) -> None:
    """A file with other authorities but without the leaf's issuer most likely lacks the intermediate."""
    between = mint("Between", issuer=root, ca=True, number=71)
    minted = mint(issuer=between)

    warned = ClientCertificate.load(minted.pair + root.pem).check(NOW)

    assert [one.reason for one in warned] == [Reason.CHAIN_BROKEN]
    assert "issued by CN=Between" in str(warned[0])
    assert "there are others (CN=Test Root); append the intermediate" in str(warned[0])
    assert not ClientCertificate.load(minted.pair + root.pem + between.pem).check(NOW)


def test_a_gap_in_the_chain_is_a_warning(root: Minted) -> None:
    """The middle one of three authorities is missing: those above it do not close the gap."""
    upper = mint("Upper", issuer=root, ca=True, number=71)
    lower = mint("Lower", issuer=upper, ca=True, number=72)
    minted = mint(issuer=lower)

    certificate = ClientCertificate.load(minted.pair + lower.pem + root.pem)

    (warned,) = certificate.check(NOW)
    assert warned.reason == Reason.CHAIN_BROKEN
    assert "(CN=Lower, expires " in str(warned)
    assert "issued by CN=Upper, whose own certificate is missing, though there are others (CN=Test Root)" in str(warned)
    assert [link.name for link in certificate.chain] == ["CN=Lower"]


@pytest.mark.parametrize("sent", [("Lower",), ("Lower", "Upper"), ("Lower", "Upper", "Test Root"), ()])
def test_a_chain_that_ends_below_the_root_is_no_warning(sent: tuple[str, ...], root: Minted) -> None:
    """Servers have their roots and often the intermediates, so the last issuer's certificate may be absent."""
    upper = mint("Upper", issuer=root, ca=True, number=71)
    lower = mint("Lower", issuer=upper, ca=True, number=72)
    above = {"Lower": lower, "Upper": upper, "Test Root": root}
    other_leaf = mint("another", issuer=upper, number=5)

    pem = b"".join(above[name].pem for name in sent)
    assert not ClientCertificate.load(mint(issuer=lower).pair + pem + other_leaf.pem).check(NOW)


def test_an_intermediates_renewal_under_the_same_name_is_no_gap(root: Minted) -> None:
    """An unused certificate with the name of a link is an older version of it."""
    between = mint("Between", issuer=root, ca=True, number=71)
    older = mint("Between", issuer=root, ca=True, number=73)
    assert not ClientCertificate.load(mint(issuer=between).pair + older.pem + between.pem).check(NOW)
