"""Programs of tests that fork."""

from __future__ import annotations

IN_CHILD = """
import os, signal, sys, warnings
# From Python 3.12 on a fork beside threads warns, which is just what is tried.
warnings.simplefilter("ignore", DeprecationWarning)

def in_child(body):
    # Runs a function in a forked child, which fails rather than hangs, and returns how it went.
    pid = os.fork()
    if pid == 0:
        signal.alarm(15)
        code = 1
        try:
            body()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""
