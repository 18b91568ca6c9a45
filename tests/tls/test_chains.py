"""Which certificates of a file are presented, in which order, and what is said where one is missing."""

from __future__ import annotations

import pytest

from seic._tls.certificate import ClientCertificate
from seic._tls.reasons import Reason
from tests._support.pki import DAY, NOW, Minted, authority, mint


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_chain_is_put_in_order(order: tuple[int, ...], root: Minted) -> None:
    """Whatever the order in the file, the chain runs from the leaf upwards, and strangers are left out."""
    between = mint("Test Intermediate", issuer=root, ca=True, number=71)
    minted = mint(issuer=between)
    parts = [minted.pem, between.pem, root.pem]
    stranger = mint("Stranger", ca=True, number=72).pem

    certificate = ClientCertificate.load(stranger + b"".join(parts[i] for i in order) + minted.key_pem)

    assert [link.der for link in certificate.chain] == [between.der, root.der]
    assert certificate.awaited_issuer is None


def test_an_intermediate_of_the_same_name_and_another_key_is_no_link(root: Minted) -> None:
    """A link of the chain is known by its signature: an older intermediate of the same name does not count."""
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
    """Of old and renewed certificate the one that is valid and ends last is taken, in any order, with a warning."""
    for order in (held, held[::-1]):
        certificate = ClientCertificate.load(b"".join(one.pem for one in order) + ours.key_pem)

        assert certificate.leaf.der == ours.der
        warned = [one for one in certificate.check(ours.certificate.not_valid_before_utc) if "same key" in str(one)]
        assert [one.reason for one in warned] == [Reason.SEVERAL_CERTIFICATES]
        assert f"it holds {len(held)} certificates for the same key" in str(warned[0])
        assert "remove the others" in str(warned[0])


def test_the_same_certificate_twice_is_no_second_one(client: Minted) -> None:
    """A repeated block changes nothing, and deserves no warning."""
    assert not ClientCertificate.load(client.pem + client.pair).check(NOW)


def test_a_chain_without_the_issuer_is_a_warning(root: Minted) -> None:
    """A file that brings certificates, but not the leaf's issuer, has most likely lost the intermediate."""
    between = mint("Between", issuer=root, ca=True, number=71)
    minted = mint(issuer=between)

    warned = ClientCertificate.load(minted.pair + root.pem).check(NOW)

    assert [one.reason for one in warned] == [Reason.CHAIN_BROKEN]
    assert "issued by CN=Between" in str(warned[0])
    assert "there are others (CN=Test Root); append the intermediate" in str(warned[0])
    assert not ClientCertificate.load(minted.pair + root.pem + between.pem).check(NOW)


def test_a_gap_in_the_chain_is_a_warning(root: Minted) -> None:
    """Of three authorities the middle one is missing: what stands above the gap does not make up for it."""
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
    """Servers know their roots, and often the intermediates: that the top's issuer is not at hand is usual."""
    upper = mint("Upper", issuer=root, ca=True, number=71)
    lower = mint("Lower", issuer=upper, ca=True, number=72)
    above = {"Lower": lower, "Upper": upper, "Test Root": root}
    other_leaf = mint("another", issuer=upper, number=5)

    pem = b"".join(above[name].pem for name in sent)
    assert not ClientCertificate.load(mint(issuer=lower).pair + pem + other_leaf.pem).check(NOW)


def test_an_intermediates_renewal_under_the_same_name_is_no_gap(root: Minted) -> None:
    """What is left over under the name of a link is its older self, and leads nowhere that the link does not."""
    between = mint("Between", issuer=root, ca=True, number=71)
    older = mint("Between", issuer=root, ca=True, number=73)
    assert not ClientCertificate.load(mint(issuer=between).pair + older.pem + between.pem).check(NOW)
