"""Sources of credentials that change: token files, exec plugins and auth providers, read and run again in time."""

from __future__ import annotations

import base64
import contextlib
import copy
import ssl
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from informer.errors import KubeconfigError
from informer.files import path_of_content, read_file, stamp_of
from informer.kubeconfig.merge import quoted
from informer.rate_limited_log import rate_limited
from informer.transport.exec_plugin import ExecCredential, ExecPluginError, run_exec_plugin
from informer.transport.redaction import hide_credential
from watch.concurrency import Lock
from watch.logs import get_logger
from watch.request_scope import RequestScope

__all__ = [
    "AuthProvider",
    "ExecPlugin",
    "Source",
    "TokenFile",
    "describe_provider_failure",
    "fixed_credentials",
    "put_token",
]

_log = get_logger(__name__)

_READ_AGAIN = 60.0
"""Seconds after which a token file is read again even if it looks unchanged.

Source: client-go transport NewCachedFileTokenSource.
"""
_MAX_TOKEN = 1024 * 1024
"""The most bytes of a token file. API servers refuse headers of that length."""
_EARLY = timedelta(seconds=10)
"""Time before its expiry at which a plugin's credential is renewed."""
_FAILED_FOR = 1.0
"""Seconds for which waiting callers reuse the failure of a plugin instead of running it again."""


class Source:
    """A source of credentials. This base class has fixed ones: they stand in the kubeconfig itself and never change.

    Attributes:
        is_asked: whether `refresh` was called for the current request, so that the configuration's hook need not call it again.

    Threads: one at a time.
    """

    is_asked = False

    def describe_refused(self) -> str:
        """Returns which credentials a server has refused, from where, and the next step, for messages; "" if not known.

        It contains no credential.
        """
        return ""

    def may_block(self, *, refused: bool) -> bool:
        """Whether `refresh` or the configuration's hook may take long: more than reading a file."""
        return False

    def needed(self) -> contextlib.AbstractContextManager[object]:
        """Returns a context that marks a request as waiting for credentials; see `ExecPlugin.needed`."""
        return contextlib.nullcontext()

    def refresh(self, configuration: Any, *, refused: bool) -> None:
        """Updates the credentials in a configuration.

        Args:
            configuration: the official client's `Configuration`.
            refused: whether a server has refused the current credentials.

        Raises:
            Exception: there are no valid credentials. The message quotes no credential.
        """


class TokenFile(Source):
    """A token in a file that another process rotates, such as a service account's token, rotated by the kubelet.

    Args:
        path: the file.
        token: the token to use while the file cannot be read; "" for none.
    """

    def __init__(self, path: str, token: str = "") -> None:
        self._path = path
        self._token = token
        self._stamp: Any = None
        self._read_at = float("-inf")
        self._limited = rate_limited(_log)

    def describe_refused(self) -> str:
        """See `Source.describe_refused`."""
        return f"the token in the file {self._path}: check that the file is renewed, and is for this cluster"

    def refresh(self, configuration: Any, *, refused: bool) -> None:
        """Reads the file if it has changed."""
        now = time.monotonic()
        try:
            stamp = stamp_of(self._path)
            if refused or stamp != self._stamp or now - self._read_at >= _READ_AGAIN:
                token = read_file(self._path, most=_MAX_TOKEN).decode().strip()
                if not token:
                    raise OSError("the file is empty")
                self._token = token
                self._stamp, self._read_at = stamp, now
        except (OSError, ValueError) as error:
            if refused or not self._token:
                raise OSError(f"cannot read the token file {self._path}: {_reason(error)}") from None
            # The last token may still be valid, and the file may be about to be written.
            self._limited.warning("cannot read the token file %s, using the last token: %s", self._path, _reason(error))
        self._hold(configuration, self._token)

    def _hold(self, configuration: Any, token: str) -> None:
        put_token(configuration, f"Bearer {token}")


class ExecPlugin(Source):
    """An exec plugin of a kubeconfig, which returns tokens or client certificates.

    Args:
        section: the `exec` section.
        cluster: the kubeconfig's cluster, for `provideClusterInfo`.
        cluster_folder: the folder beside which the cluster's relative paths lie.
        folder: the plugin's working directory; None for this process's.
        has_run: whether there is a credential from an earlier run.
        expires: when that one expires, if that is known.
    """

    def __init__(
        self,
        section: Mapping[str, Any],
        *,
        cluster: Mapping[str, Any],
        cluster_folder: str = "",
        folder: str | None = None,
        has_run: bool = False,
        expires: datetime | None = None,
    ) -> None:
        self._section, self._folder = section, folder
        self._cluster, self._cluster_folder = cluster, cluster_folder
        self._expires = expires
        self._has_run = has_run
        self._failure: tuple[str, float] | None = None
        self._given: ExecCredential | None = None
        self._lock = Lock()
        self._needed_by = 0  # requests that wait for credentials; guarded by _lock
        self._run_scope: RequestScope | None = None  # cancelling it kills the running plugin; guarded by _lock

    @contextlib.contextmanager
    def needed(self) -> Iterator[None]:
        """Returns a context that marks a request as waiting for credentials. When none waits any more, the plugin is killed.

        Threads: any, several at a time.
        """
        with self._lock:
            self._needed_by += 1
        try:
            yield
        finally:
            with self._lock:
                self._needed_by -= 1
                unneeded = None if self._needed_by else self._run_scope
            if unneeded is not None:
                unneeded.cancel()

    def describe_refused(self) -> str:
        """See `Source.describe_refused`."""
        command = quoted(self._section.get("command"))
        return (
            f"the credentials from exec plugin {command}: log in again, and check that the plugin is for this cluster"
        )

    def refresh(self, configuration: Any, *, refused: bool) -> None:
        """Runs the plugin if `may_block` says so."""
        if self.may_block(refused=refused):
            self._run()
        if self._given is not None:
            self._hold(configuration, self._given)

    def may_block(self, *, refused: bool) -> bool:
        """True when the plugin has to run: for the first time, after a refusal, or because its credential expires."""
        expired = self._expires is not None and datetime.now(UTC) + _EARLY >= self._expires
        return refused or expired or not self._has_run

    def _run(self) -> None:
        if self._failure is not None and time.monotonic() - self._failure[1] < _FAILED_FOR:
            raise ExecPluginError(self._failure[0])
        scope = RequestScope()
        with self._lock:
            self._run_scope = scope
        try:
            with scope:
                self._given = run_exec_plugin(
                    self._section, cluster=self._cluster, cluster_folder=self._cluster_folder, folder=self._folder
                )
        except ExecPluginError as error:
            # If the plugin was killed because of a stop, the next request runs it again.
            if not scope.cancelled:
                self._failure = (str(error), time.monotonic())
            raise
        finally:
            with self._lock:
                self._run_scope = None
        self._expires = self._given.expires
        self._failure = None
        self._has_run = True

    def _hold(self, configuration: Any, given: ExecCredential) -> None:
        if given.token:
            put_token(configuration, f"Bearer {given.token}")
        configuration.client_cert_data = given.certificate.encode() or None
        configuration.client_key_data = given.key.encode() or None


class AuthProvider(Source):
    """A user with the `auth-provider` section of older kubeconfigs. The official client's loader makes the token.

    The loader's errors can quote the whole user, so none of them is shown.

    Args:
        section: the `auth-provider` section.
        user: the user's name, for messages.
        file: the kubeconfig, for messages.
    """

    def __init__(self, section: Mapping[str, Any], user: str, file: str) -> None:
        # A copy: the loader stores a renewed token in it.
        self._section = copy.deepcopy(dict(section))
        self._user, self._file = user, file

    def describe_refused(self) -> str:
        """See `Source.describe_refused`."""
        return f"the token from the auth-provider of user {quoted(self._user)} in {self._file}: log in again"

    def may_block(self, *, refused: bool) -> bool:
        """Always: the loader may ask an identity provider."""
        return True

    def refresh(self, configuration: Any, *, refused: bool) -> None:
        """Calls the loader, which renews a token that has expired."""
        loaded, failure = self._load()
        token = loaded.api_key.get("BearerToken") or loaded.api_key.get("authorization")
        # Raised outside of the handler: the loader's error would become this one's context.
        if failure or not token:
            raise KubeconfigError(describe_provider_failure(self._section, self._user, self._file, failure))
        put_token(configuration, token)

    def _load(self) -> tuple[Any, str]:
        """The configuration that the loader filled, and the type of its error, or ""."""
        from kubernetes import client, config

        load: Any = config
        # Not Configuration(): older official clients would copy the default configuration.
        loaded = type.__call__(client.Configuration)
        user = {"name": "u", "user": {"auth-provider": self._section}}
        cluster = {"name": "k", "cluster": {"server": "http://unused"}}
        context = {"name": "c", "context": {"cluster": "k", "user": "u"}}
        whole = {"current-context": "c", "clusters": [cluster], "contexts": [context], "users": [user]}
        try:
            with _authority_of_provider(self._section.get("config")):
                load.load_kube_config_from_dict(whole, client_configuration=loaded, persist_config=False)
        # The loader imports and calls what the provider needs: it can raise anything.
        except Exception as error:
            return loaded, type(error).__name__
        return loaded, ""


@contextlib.contextmanager
def _authority_of_provider(config: Any) -> Iterator[None]:
    """Returns a context in which the loader reads the identity provider's authority from a private path.

    By itself, the loader would write the authority to a file in /tmp, and use the file again even if another user has replaced
    it. Without an authority, it would not verify the server to which it sends the client secret.

    Args:
        config: the provider's settings. They are changed within the context; the loader updates them too.
    """
    if not isinstance(config, dict):
        yield
        return
    given = {name: config[name] for name in (_AUTHORITY, _AUTHORITY_DATA) if name in config}
    with contextlib.ExitStack() as files:
        try:
            data = config.pop(_AUTHORITY_DATA, None)
            if data:
                config[_AUTHORITY] = files.enter_context(path_of_content(base64.b64decode(data)))
            elif not config.get(_AUTHORITY):
                config[_AUTHORITY] = _machine_authorities()
            yield
        finally:
            config.pop(_AUTHORITY, None)
            config.update(given)


def _machine_authorities() -> str:
    import certifi

    return ssl.get_default_verify_paths().cafile or certifi.where()


_AUTHORITY = "idp-certificate-authority"
_AUTHORITY_DATA = f"{_AUTHORITY}-data"


_PROVIDER_KEYS = {
    "oidc": ("id-token", "idp-issuer-url", "client-id", "client-secret", "refresh-token"),
    "gcp": ("access-token", "expiry", "cmd-path"),
}


def describe_provider_failure(section: Any, user: str, file: str, failure: str) -> str:
    """Says why an auth provider gave no token: names the file, the user and the missing keys, and no value.

    Args:
        section: the user's `auth-provider` section.
        user: the user's name.
        file: the kubeconfig.
        failure: the type of the error that the official client's loader raised; "" if it raised none.
    """
    fields = section if isinstance(section, Mapping) else {}
    name = fields.get("name")
    config = fields.get("config")
    where = f"the auth-provider of user {quoted(user)} in {file}"
    if name not in _PROVIDER_KEYS:
        return f"{where} is not supported: use an exec plugin instead"
    settings = config if isinstance(config, Mapping) else {}
    missing = [key for key in _PROVIDER_KEYS[name] if not settings.get(key)]
    lacks = f"it lacks {', '.join(missing)}" if missing else "the identity provider did not renew the token"
    raised = f" ({failure})" if failure else ""
    return (
        f"{where} ({name}) gave no valid token{raised}: {lacks}. Log in again, or use an exec plugin such as kubelogin"
    )


def fixed_credentials(user: Mapping[str, Any], origin: str) -> str:
    """Describes credentials that stand in a kubeconfig itself, after a server has refused them; see `Source.describe_refused`.

    Args:
        user: the fields of the user, by their names in a kubeconfig.
        origin: the user's name and the file.
    """
    if user.get("token"):
        kind = "token"
    elif user.get("username"):
        kind = "user name and password"
    elif user.get("client-certificate") or user.get("client-certificate-data"):
        kind = "client certificate"
    else:
        return f"a request without credentials: {origin} has none, so add some"
    return f"the {kind} of {origin}: renew it, or choose the context of this cluster"


def put_token(configuration: Any, value: str) -> None:
    """Puts the value of an Authorization header into an official client's configuration."""
    hide_credential(value)
    # Older official clients read only the second name.
    for name in ("BearerToken", "authorization"):
        configuration.api_key[name] = value


def _reason(error: Exception) -> str:
    """Why reading failed, without the file's name, which the message has already."""
    if isinstance(error, UnicodeError):
        return "it is not UTF-8 text"
    return (isinstance(error, OSError) and error.strerror) or str(error)
