"""The meaning and the remedy of each reason code, for the page of errors."""

from __future__ import annotations

from seic import Reason

#: In the order of the page.
REASONS = {
    Reason.NOT_FOUND: ("the file does not exist, or its link is broken", "correct the path"),
    Reason.UNREADABLE: ("this user cannot read the file", "give read permission to the user that the error names"),
    Reason.IS_A_DIRECTORY: ("a folder without `tls.crt`", "name the file, or a folder with `tls.crt` and `tls.key`"),
    Reason.EMPTY: ("the file is empty", "write it again"),
    Reason.TRUNCATED: ("the end is missing", "copy it again"),
    Reason.UNKNOWN_FORMAT: ("neither PEM, DER nor PKCS#12", "convert it to one of these"),
    Reason.NO_CERTIFICATE: ("no certificate found", "add the certificate"),
    Reason.NO_KEY: ("no private key found", "pass `key=`"),
    Reason.CERTIFICATE_AS_KEY: ("a certificate instead of the key", "pass the private key"),
    Reason.KEY_AS_CERTIFICATE: ("a key instead of the certificate", "swap the two"),
    Reason.CERTIFICATE_REQUEST: ("a CSR, which is not signed", "pass the certificate that the authority sent back"),
    Reason.PUBLIC_KEY: ("a public key", "pass the private key"),
    Reason.IS_A_CA: ("the certificate of an authority", "pass the certificate that was issued to you"),
    Reason.NOT_A_CA: ("`ca=` contains no authority", "pass the issuer's certificate"),
    Reason.KEY_MISMATCH: ("certificate and key do not match", "pass the key of the certificate request"),
    Reason.PASSPHRASE_MISSING: ("the key is encrypted", "pass `password=`"),
    Reason.PASSPHRASE_WRONG: ("the passphrase does not decrypt the key", "correct it"),
    Reason.UNSUPPORTED_ENCRYPTION: ("the encryption is not supported", "convert it with openssl, as the error says"),
    Reason.UNSUPPORTED_KEY: ("neither RSA, EC nor Ed25519", "request a certificate for such a key"),
    Reason.NOT_FOR_CLIENTS: ("the extended key usage excludes clients", "request a certificate with clientAuth"),
    Reason.WEAK_KEY: (
        "too short for this system's OpenSSL; as a warning: for others",
        "use RSA 2048 or EC P-256 at least",
    ),
    Reason.WEAK_SIGNATURE: (
        "signed with MD5 or SHA-1; as a warning: an intermediate too",
        "request a certificate signed with SHA-256",
    ),
    Reason.COMMON_NAME: ("the CN is not the service account's username", "pass the account's own certificate"),
    Reason.REFUSED_BY_OPENSSL: ("OpenSSL refuses it for another reason", "request a new certificate"),
    Reason.EXPIRED: ("it has expired, by the local clock", "renew it, or correct the clock"),
    Reason.NOT_YET_VALID: ("it is not valid yet", "correct the clock, or use the old one until then"),
    Reason.EXPIRES_SOON: ("a warning: it expires soon", "renew it"),
    Reason.KEY_EXPOSED: ("a warning: other users can read the key", "`chmod 600`; a key owned by root can be 0640"),
    Reason.CHAIN_BROKEN: ("a warning: an intermediate certificate is missing", "append the issuer's certificate"),
    Reason.CHAIN_EXPIRED: ("a warning: an intermediate certificate has expired", "replace it"),
    Reason.CHAIN_ENDS_FIRST: (
        "a warning: an intermediate certificate ends before yours",
        "append its renewal before that",
    ),
    Reason.PUBLIC_ISSUER: (
        "a warning: a public authority issued it; these end certificates for clients in 2026 and 2027",
        "ask for a certificate of a private authority that the server accepts",
    ),
    Reason.SEVERAL_CERTIFICATES: (
        "a warning: there are several pairs; an error if their subjects differ",
        "remove all but one, or pass `common_name=`",
    ),
    Reason.LEFT_OUT: (
        "a warning: a part of `ca=`, or a file of its folder, cannot be read",
        "replace the part that the warning names",
    ),
    Reason.AUTHORITY_EXPIRED: (
        "a warning: an authority of `ca=` has expired",
        "replace it with its current certificate",
    ),
    Reason.AUTHORITY_EXPIRES_SOON: ("a warning: an authority of `ca=` expires soon", "add its next certificate"),
    Reason.REVOKED: ("the server says that it is revoked", "request a new one"),
    Reason.UNKNOWN_TO_SERVER: (
        "the server does not trust the issuer",
        "send the intermediates; ask which authorities it accepts",
    ),
    Reason.DEMANDED: (
        "the server requires a certificate and received none",
        "pass `certificate=`; check for a proxy that terminates TLS",
    ),
    Reason.AFTER_HANDSHAKE: (
        "the server asks for the certificate after the handshake, which is not possible here",
        "pass `certificate=`, or set `http2=False`",
    ),
    Reason.REFUSED: ("the server refuses it without a reason", "ask the server's operator"),
    Reason.CLOSED_EARLY: (
        "the server closed the connection without an alert; the message tells whether the handshake was complete",
        "ask for the server's log; check its allow-list and the size of the request",
    ),
    Reason.SERVER_EXPIRED: ("the server's certificate has expired", "tell the server's operator"),
    Reason.SERVER_NOT_YET_VALID: ("the server's certificate is not valid yet", "check the local clock"),
    Reason.SERVER_WRONG_HOST: ("the server's certificate is for another name", "check host and port"),
    Reason.SERVER_SELF_SIGNED: ("the server's certificate is self-signed", "pass it as `ca=`, if it is the right one"),
    Reason.SERVER_UNKNOWN_CA: (
        "the server's authority is not trusted here, or its chain is incomplete",
        "pass the authority as `ca=`",
    ),
    Reason.SERVER_WRONG_USAGE: ("the server's certificate is not for servers", "tell the server's operator"),
    Reason.SERVER_WEAK: ("the server's key or signature is too weak", "tell the server's operator"),
    Reason.SERVER_REVOKED: ("the server's certificate is revoked", "tell the server's operator"),
    Reason.SERVER_UNTRUSTED: ("the server's certificate could not be verified", "tell the server's operator"),
    Reason.PROTOCOL_TOO_OLD: ("the server supports neither TLS 1.2 nor 1.3", "tell the server's operator"),
    Reason.NOT_TLS: ("the reply is not TLS", "check the port, and for a proxy in between"),
    Reason.NO_COMMON_GROUND: ("the handshake failed for another reason", "ask the server's operator"),
    Reason.SOURCE_FAILED: (
        "the function raised an exception, returned another type, or hangs",
        "see the error's cause; set a timeout",
    ),
}
