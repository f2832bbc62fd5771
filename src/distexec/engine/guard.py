"""A tiny shell process that ends a cluster's processes when their owner ends, however it ends.

The owner holds the write end of a pipe, the guard reads from it. The kernel closes that end with
the owner, so SIGKILL, ``os._exit`` and a crash are noticed like a normal exit. ``PR_SET_PDEATHSIG``
would be simpler and wrong: it is Linux's alone, and fires when the *thread* that started the
process ends. Closing a cluster goes the same way, so there is one way to end and it is always used.
"""

import os
import subprocess
import threading
from io import FileIO
from pathlib import Path
from typing import Any
from weakref import WeakSet

from distexec.errors import ClusterUnavailable

#: Seconds; so many of these steps lie between SIGTERM and SIGKILL when the owner was lost.
_GRACE_STEP_SECONDS = 0.02
_GRACE_STEPS = 25

# Runs in dash, bash and busybox. $1 is the folder. A group without living members leaves the list
# before it is signalled again, since its number may come to belong to somebody else.
_SCRIPT = f"""
trap '' HUP INT QUIT TERM
groups= steps={_GRACE_STEPS}
without() {{ kept=; for g in $groups; do [ "$g" = "$1" ] || kept="$kept $g"; done; groups=$kept; }}
signal() {{ for g in $groups; do kill -s "$1" -- "-$g" 2>/dev/null || without "$g"; done; }}
while read -r word group; do
  case $word in
    +) groups="$groups $group" ;;
    -) without "$group" ;;
    now) steps=0 ;;
  esac
done
[ $steps -eq 0 ] || signal TERM
while [ $steps -gt 0 ] && [ -n "$groups" ]; do
  sleep {_GRACE_STEP_SECONDS}
  signal 0
  steps=$((steps - 1))
done
signal KILL
# A process that is dying may still put a file there.
for try in 1 2 3 4 5; do rm -rf -- "$1" 2>/dev/null && break; sleep 0.05; done
"""


class Process(subprocess.Popen[bytes]):
    """A process in a session of its own, so that neither Ctrl-C nor a hang-up reaches it.

    Its group has its number. Whoever starts one also reaps it.
    """

    def __init__(self, command: list[str], **options: Any) -> None:
        super().__init__(command, start_new_session=True, **options)

    def __del__(self) -> None:
        """Say nothing: the copy in a forked process is not that process's child."""


class Guard:
    """The owner's handle on the guard process, which ends all `watch`-ed groups at `let_go`."""

    def __init__(self, folder: Path) -> None:
        """Start the guard; it removes *folder* when it ends.

        Raises:
            ClusterUnavailable: There is no shell, or no room for another process.
        """
        # The lock keeps another thread from forking between the pipe and its registration: that
        # child would hold the pipe open and outlive us without closing it.
        with _lock:
            try:
                read_end, write_end = os.pipe()
            except OSError as error:
                raise ClusterUnavailable(f"the cluster's guard cannot start: {error}") from error
            self._pipe = FileIO(_above_standard(write_end), "w")
            _guards.add(self)
        try:
            self.process = Process(
                ["/bin/sh", "-c", _SCRIPT, "distexec-guard", str(folder)],
                stdin=read_end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Not the caller's: it would keep a removed folder or a mounted disk in use.
                cwd="/",
            )
        except OSError as error:
            self._pipe.close()
            raise ClusterUnavailable(f"the cluster's guard cannot start: {error}") from error
        finally:
            os.close(read_end)

    def watch(self, process: Process) -> None:
        """End the process's group when we end."""
        self._say(b"+ %d\n" % process.pid)

    def forget(self, process: Process) -> None:
        """Leave the group alone from now on: the process was reaped, its number is free again."""
        self._say(b"- %d\n" % process.pid)

    def let_go(self) -> None:
        """Make the guard kill everything. Returns at once; may be called again.

        Without the grace of a lost owner: who closes a cluster has waited for his calls, and a
        node in good order would need more than that time to say goodbye.
        """
        self._say(b"now\n")
        self._pipe.close()

    def drop(self) -> None:
        """Have nothing to do with the guard any more: it is another process's."""
        self._pipe.close()

    def _say(self, line: bytes) -> None:
        try:
            self._pipe.write(line)
        except (BrokenPipeError, ValueError):
            pass  # The guard was killed, which its watcher sees; or it was let go meanwhile.


def _above_standard(descriptor: int) -> int:
    """Move *descriptor* out of the way of 0, 1 and 2, which a service may have closed.

    The node inherits 1 and 2, and with them it would hold the pipe open, and print into it.
    """
    moved = [descriptor]
    while moved[-1] <= 2:
        moved.append(os.dup(moved[-1]))
    for each in moved[:-1]:
        os.close(each)
    return moved[-1]


_lock = threading.Lock()
_guards: WeakSet[Guard] = WeakSet()


def _drop_inherited_pipes() -> None:
    """In a forked child: the parent's clusters end with the parent, not with the last child."""
    global _lock
    _lock = threading.Lock()
    for guard in list(_guards):
        guard.drop()
    _guards.clear()


if hasattr(os, "register_at_fork"):  # Not on Windows, where no cluster is started.
    os.register_at_fork(
        before=lambda: _lock.acquire(),
        after_in_parent=lambda: _lock.release(),
        after_in_child=_drop_inherited_pipes,
    )
