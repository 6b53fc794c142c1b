"""The options that type checkers know are the options of the functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from informer import ListWatch, SharedInformer, SharedInformerFactory
from informer.listwatch.list_watch import ResourceOptions
from informer.reflector.config import ReflectorConfig, ReflectorOptions
from informer.shared.options import InformerOptions


def _options_of(*functions: Callable[..., Any]) -> set[str]:
    parameters = [parameter for each in functions for parameter in inspect.signature(each).parameters.values()]
    return {parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize(
    ("known", "functions"),
    [
        pytest.param(InformerOptions, (SharedInformer, SharedInformerFactory.informer), id="informers"),
        pytest.param(ResourceOptions, (ListWatch.for_resource,), id="resources"),
    ],
)
def test_type_checkers_know_every_option(known: Any, functions: tuple[Callable[..., Any], ...]) -> None:
    """Type checkers know every keyword option of a function except `model`, and no other."""
    assert known.__optional_keys__ == _options_of(*functions) - {"model"}


def test_reflector_options_are_the_fields_of_the_config() -> None:
    """A reflector takes each field of its config as a keyword argument, and no other."""
    assert ReflectorOptions.__optional_keys__ == {field.name for field in fields(ReflectorConfig)}
