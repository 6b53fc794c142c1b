"""Explains a failed TLS handshake: the likely cause, and what to change."""

from __future__ import annotations

import os
import ssl

from informer.files import UnusableFileError
from informer.transport.settings import ConnectionSettings

__all__ = ["explain_tls_error"]

# OpenSSL's X509_V_ERR_ numbers.
_NOT_YET_VALID = 9
_EXPIRED = 10
_UNTRUSTED = frozenset({2, 18, 19, 20, 21})
_WRONG_NAME = frozenset({62, 64})
_UNUSABLE = ("KEY_VALUES_MISMATCH", "NO_START_LINE", "PEM_LIB", "NO_CERTIFICATE_OR_CRL_FOUND", "CADATA")
_REFUSALS = ("ALERT", "CERTIFICATE_REQUIRED")


def explain_tls_error(error: BaseException, settings: ConnectionSettings) -> str:
    """Returns the likely cause of an error and its remedy as one sentence, or "" when the error is not about TLS.

    Looks whether the certificate files exist and are readable, but not into them.

    Args:
        error: the exception that connecting raised.
        settings: the settings that the connection was made with.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {_explain_verification(error, settings)}"
    # Not for other errors: a file that is missing now may have been read before, and is used then.
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
        unreadable = _unreadable_file(settings)
        if unreadable:
            return unreadable
    if isinstance(error, UnusableFileError):
        return f"the file {error.filename} of the configuration cannot be used: {error.strerror}"
    if not isinstance(error, ssl.SSLError):
        # urllib3 checks host names itself in some cases, and raises its own CertificateError.
        return _wrong_name(str(error)) if type(error).__name__ == "CertificateError" else ""
    # The ssl module gives some errors only a text, with spaces: "[SSL] PEM lib".
    reason = _reason(error)
    name = reason.upper().replace(" ", "_")
    what = _shown_client_certificate(settings)
    if _is_alert(error):
        return (
            f"the server does not accept {what} (TLS: {reason}): it may have expired, or be signed by another authority"
        )
    if isinstance(error, ssl.SSLEOFError):
        return f"the server closed the connection during the TLS handshake: it is overloaded, or does not accept {what}"
    if name in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return (
            f"the server does not speak TLS there (TLS: {reason}): check the address, or use http:// if that is meant"
        )
    if any(word in name for word in _UNUSABLE):
        names = ", ".join(path for _, path in settings.files()) or "the kubeconfig's certificates"
        return f"the certificate files cannot be used (TLS: {reason}): check that {names} are PEM and belong together"
    return ""


def _explain_verification(error: ssl.SSLCertVerificationError, settings: ConnectionSettings) -> str:
    code, message = error.verify_code, error.verify_message
    if code in _WRONG_NAME:
        return _wrong_name(message)
    if code == _EXPIRED:
        return (
            "the certificate of the server or of its authority has expired: renew it, or correct this machine's clock"
        )
    if code == _NOT_YET_VALID:
        return "the server's certificate is not valid yet: correct this machine's clock"
    if code in _UNTRUSTED:
        ca = settings.ssl_ca_cert
        trusted = f"the authority in {ca}" if ca else "any of the authorities that this machine trusts"
        if settings.ca_cert_data:
            trusted = "the authority in the kubeconfig's certificate-authority-data"
        return (
            f"the server's certificate is not signed by {trusted} ({message}): set the kubeconfig's "
            "certificate-authority, or the configuration's ssl_ca_cert, to the cluster's"
        )
    return f"the server's certificate was not accepted: {message}"


def _shown_client_certificate(settings: ConnectionSettings) -> str:
    if settings.client_cert_data:
        return "the client certificate of the kubeconfig's user"
    return (
        f"the client certificate {settings.cert_file}"
        if settings.cert_file
        else "a connection without a client certificate"
    )


def _wrong_name(message: str) -> str:
    return (
        f"the server's certificate is for another name ({message}): connect to a name that the certificate has, or set the "
        "kubeconfig's tls-server-name to one"
    )


def _is_alert(error: ssl.SSLError) -> bool:
    return any(word in _reason(error).upper() for word in _REFUSALS)


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's name for what went wrong, or the error's text if OpenSSL did not raise it."""
    return getattr(error, "reason", None) or " ".join(str(error).split())


def _unreadable_file(settings: ConnectionSettings) -> str:
    for name, path in settings.files():
        if not os.access(path, os.R_OK):
            return f"the {name} {path} is missing, or this process may not read it"
    return ""
