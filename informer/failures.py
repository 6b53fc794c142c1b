"""What failed, as users are told it: the error itself, and what the informer was doing."""

from __future__ import annotations

from http import HTTPStatus

from informer.errors import InformerError
from watch.errors import ApiError, as_api_error

__all__ = ["answer_of", "told"]


def answer_of(error: Exception) -> Exception:
    """The server's answer that an exception carries, or else the exception."""
    return as_api_error(error) or error


def told(error: Exception, verb: str, what: str) -> Exception:
    """An error of the same family that says what failed, and whose cause is the error.

    Args:
        error: what was raised.
        verb: what was to be done, such as "list".
        what: with what, such as "deployments.apps".
    """
    answer = as_api_error(error)
    text = f"failed to {verb} {what}: "
    made: Exception
    if answer is not None:
        message = text + (answer.message or "the server gave no reason")
        if answer.status == HTTPStatus.NOT_FOUND:
            # A list or a watch of nothing is empty, so it is the resource that is missing, and that may come.
            message += " (it does not serve this resource, perhaps not yet)"
        made = ApiError(answer.status, answer.reason, message, answer.retry_after, details=answer.details)
    elif isinstance(error, ConnectionRefusedError):
        made = ConnectionRefusedError(text + str(error))
    elif isinstance(error, OSError):
        made = ConnectionError(text + (str(error) or type(error).__name__))
    else:
        made = InformerError(text + (str(error) or type(error).__name__))
    made.__cause__ = error
    return made
