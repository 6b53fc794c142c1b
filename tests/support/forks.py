"""The start of test programs that fork: they run as processes of their own, since pytest's process has threads."""

from __future__ import annotations

IN_CHILD = """
import os, signal, sys, warnings
# Since Python 3.12 a fork in a process with threads warns; these programs fork like that on purpose.
warnings.simplefilter("ignore", DeprecationWarning)

def in_child(body):
    # Runs a function in a forked child and returns the child's exit code; an alarm kills a child that hangs.
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
