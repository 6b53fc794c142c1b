"""What a failed TLS handshake means and what to do about it, in words for whoever runs the program.

Comes in: the error and the official client's configuration. Goes out: one sentence. No I/O, but a look whether files are there.
"""

from __future__ import annotations

import os
import ssl
from typing import Any

__all__ = ["tls_advice"]

# OpenSSL's X509_V_ERR_ numbers.
_NOT_YET_VALID = 9
_EXPIRED = 10
_UNTRUSTED = frozenset({2, 18, 19, 20, 21})
_WRONG_NAME = frozenset({62, 64})
_REFUSALS = ("ALERT", "CERTIFICATE_REQUIRED")


def tls_advice(error: BaseException, configuration: Any) -> str:
    """What to tell of an error; "" for one that is not about TLS.

    Args:
        error: what the connection failed with.
        configuration: the official client's.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {_of_certificate(error, configuration)}"
    if isinstance(error, FileNotFoundError) or (isinstance(error, ssl.SSLError) and not _is_alert(error)):
        missing = _missing_file(configuration)
        if missing:
            return missing
    if not isinstance(error, ssl.SSLError):
        # urllib3's own check of a name has no error of the ssl module's.
        return _wrong_name(str(error), configuration) if type(error).__name__ == "CertificateError" else ""
    reason = error.reason or " ".join(str(error).split())
    shown = getattr(configuration, "cert_file", None)
    what = f"the client certificate {shown}" if shown else "a connection without a client certificate"
    if _is_alert(error):
        return f"the server does not accept {what} (TLS: {reason}): it may have expired, or be of another authority"
    if isinstance(error, ssl.SSLEOFError):
        return f"the server broke off the TLS handshake: it is overloaded, or does not accept {what}"
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return f"the server does not speak TLS there (TLS: {reason}): is the address right, or is it http?"
    if reason in ("KEY_VALUES_MISMATCH", "NO_START_LINE", "PEM_LIB", "NO_CERTIFICATE_OR_CRL_FOUND"):
        names = ", ".join(path for _, path in _files(configuration))
        return f"the certificate files cannot be used (TLS: {reason}): look at {names}"
    return ""


def _of_certificate(error: ssl.SSLCertVerificationError, configuration: Any) -> str:
    code, said = error.verify_code, error.verify_message
    if code in _WRONG_NAME:
        return _wrong_name(said, configuration)
    if code == _EXPIRED:
        return "the server's certificate, or its authority's, has expired: renew it, or set this machine's clock right"
    if code == _NOT_YET_VALID:
        return "the server's certificate is not valid yet: set this machine's clock right"
    if code in _UNTRUSTED:
        ca = getattr(configuration, "ssl_ca_cert", None)
        trusted = f"the authority in {ca}" if ca else "any of the authorities that this machine trusts"
        return (
            f"the server's certificate is not signed by {trusted} ({said}): set the kubeconfig's "
            "certificate-authority, or the configuration's ssl_ca_cert, to the cluster's"
        )
    return f"the server's certificate was not accepted: {said}"


def _wrong_name(said: str, configuration: Any) -> str:
    return (
        f"the server's certificate is for another name ({said}): use a name that is in it as the address, or set the "
        "kubeconfig's tls-server-name to one"
    )


def _is_alert(error: ssl.SSLError) -> bool:
    return any(word in (error.reason or str(error)).upper() for word in _REFUSALS)


def _files(configuration: Any) -> list[tuple[str, str]]:
    names = (("ssl_ca_cert", "certificate-authority"), ("cert_file", "client-certificate"), ("key_file", "client-key"))
    found = ((label, getattr(configuration, name, None)) for name, label in names)
    return [(label, str(path)) for label, path in found if path]


def _missing_file(configuration: Any) -> str:
    for label, path in _files(configuration):
        if not os.access(path, os.R_OK):
            return f"the {label} {path} is missing, or this process may not read it"
    return ""
