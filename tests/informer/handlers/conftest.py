"""The fixtures of tests of running informers."""

from tests.support.informers import make_gate, make_informer, pod, queue, recorder

__all__ = ["make_gate", "make_informer", "pod", "queue", "recorder"]
