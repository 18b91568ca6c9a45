"""The certificates that are sent, their order, and the warning about a missing one."""

from __future__ import annotations

import pytest

from seic import ClientCertificate, Reason
from tests._support.pki import DAY, NOW, Minted, authority, mint


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
        warned = [one for one in certificate.check(ours.certificate.not_valid_before_utc) if "same key" in str(one)]
        assert [one.reason for one in warned] == [Reason.SEVERAL_CERTIFICATES]
        assert f"it holds {len(held)} certificates for the same key" in str(warned[0])
        assert "remove the others" in str(warned[0])


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
