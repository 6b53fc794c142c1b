"""Checks of arguments that users pass, made before anything is stored or started."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import partial
from types import FunctionType
from typing import Any

from watch.printable import printable

__all__ = [
    "check_callable",
    "check_function",
    "describe_error",
    "function_name",
    "is_async",
    "names_keyword",
    "refuse_coroutine",
]


def check_callable(what: str, function: Any, *, or_none: bool = False) -> None:
    """Checks that an argument is callable.

    Args:
        what: the argument's name, for the message.
        function: the argument.
        or_none: whether None is allowed too.

    Raises:
        TypeError: the argument is not callable; the message names it and its type.
    """
    if not callable(function) and not (or_none and function is None):
        raise TypeError(f"{what} must be callable, not {type(function).__name__}")


def check_function(
    what: str,
    function: Any,
    count: int,
    *,
    optional: Collection[str] = (),
    keywords: Collection[str] = (),
    or_none: bool = False,
    may_be_async: bool = False,
    may_yield: bool = False,
    remedy: str = "pass a plain function",
) -> None:
    """Checks a function that is called with `count` positional arguments.

    Args:
        what: the argument's name, for the message.
        function: the argument.
        count: how many positional arguments it is called with.
        optional: keywords that are passed only if the signature names them.
        keywords: keywords that are always passed too.
        or_none: whether None is allowed too.
        may_be_async: whether the caller awaits the result.
        may_yield: whether the result is iterated, so that a generator function is right.
        remedy: what to do instead of passing an async function, for the message.

    Raises:
        TypeError: the argument is not callable, is async, or cannot be called with `count` arguments. A call would then fail,
            or do nothing.
    """
    check_callable(what, function, or_none=or_none)
    if function is None:
        return
    if not may_be_async and is_async(function):
        raise TypeError(f"{what} is an async function, which a thread cannot await: {remedy}")
    if _is_any(inspect.isasyncgenfunction, function) or (
        not may_yield and _is_any(inspect.isgeneratorfunction, function)
    ):
        raise TypeError(f"{what} is a generator function, of which a call runs nothing: remove its yield")
    _check_arguments(what, function, count, optional, keywords)


def is_async(function: Any) -> bool:
    """Returns whether a call makes a coroutine, as far as the callable itself says so."""
    return _is_any(inspect.iscoroutinefunction, function)


def refuse_coroutine(what: str, result: object) -> None:
    """Raises a TypeError if a function returned a coroutine, as a lambda that calls an async function does.

    Args:
        what: the function's name as an argument, for the message.
        result: what it returned.
    """
    if inspect.iscoroutine(result):
        result.close()  # avoids Python's warning that the coroutine was never awaited
        raise TypeError(f"{what} returned a coroutine, which a thread cannot await: pass a function that is not async")


def describe_error(error: BaseException) -> str:
    """Returns an exception's type and text as one line, for messages."""
    text = printable(str(error), 1024)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def function_name(function: Callable[..., Any]) -> str:
    """Returns a callable's module and name, for messages."""
    qualified = getattr(function, "__qualname__", None)
    if qualified is None:
        return type(function).__qualname__
    return f"{getattr(function, '__module__', '')}.{qualified}".lstrip(".")


def names_keyword(function: Callable[..., Any], keyword: str) -> bool:
    """Returns whether a function's signature names a keyword. A keyword that `functools.partial` has bound does not count."""
    if isinstance(function, partial) and keyword in function.keywords:
        return False
    try:
        parameter = inspect.signature(function).parameters.get(keyword)
    # Some callables, such as built-in ones, have no signature.
    except (TypeError, ValueError):
        return False
    return parameter is not None and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)


def _check_arguments(
    what: str, function: Callable[..., Any], count: int, optional: Collection[str], keywords: Collection[str]
) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    named = [keyword for keyword in optional if names_keyword(function, keyword)]
    try:
        signature.bind(*[None] * count, **dict.fromkeys([*keywords, *named]))
    except TypeError as error:
        words = "no arguments" if count == 0 else "1 argument" if count == 1 else f"{count} arguments"
        words += f" and the keywords {', '.join(keywords)}" if keywords else ""
        raise TypeError(
            f"{what} is called with {words}{''.join(f', and {each} where it is named' for each in optional)}; "
            f"{function_name(function)} does not take that: {error}"
        ) from None


def _is_any(test: Callable[[Any], bool], function: Any) -> bool:
    while isinstance(function, partial):
        function = function.func
    # `create_autospec` of a function makes a function that calls its attribute `mock`.
    inner = vars(function).get("mock") if isinstance(function, FunctionType) else None
    call = getattr(function, "__call__", None)  # noqa: B004 - an object's method is meant
    return any(_is_code(each) and test(each) for each in (function, call, inner))


def _is_code(function: Any) -> bool:
    """Whether `inspect` can tell what a callable is. The flags of a mocked function are mocks, and each counts as set."""
    return isinstance(getattr(getattr(function, "__code__", None), "co_flags", 0), int)
