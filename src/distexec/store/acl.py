"""The server's users: what a caller, a node and an operator may do there, and nothing more.

`tests/cluster` runs under these rules, and `tests/security/test_acl.py` tries what they forbid.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

#: Commands of everybody: logging in, and what redis-py and kombu say first.
_CONNECT: Final = "+auth +hello +ping +select +client|setname +client|setinfo +info +time"

#: Scripts may only do what their user may do: so each command in them is listed as well.
_SCRIPTS: Final = "+evalsha +script|load"

_CALLER: Final = (
    "+set +get +del +unlink +exists +expire +pexpire +pttl +type "
    "+hset +hincrby +hget +hmget +hdel +hlen +hexists +hvals +hgetall +smembers "
    "+xadd +xlen +xdel +xack +xtrim +xread +xrange +xpending +xautoclaim +xclaim "
    "+xgroup|create +xgroup|delconsumer +xinfo|stream +xinfo|groups +xinfo|consumers "
    "+lpush +llen +multi +exec +discard "
    # Dead letters.
    "+zadd +zrem +zscore +zrevrange +zrangebyscore +hstrlen"
)

_NODE: Final = (
    f"{_CALLER} +hrandfield +xreadgroup +sadd +srem "
    "+lrange +rpush +brpop +rpop +zadd +zrem +zrange +zrangebyscore +zrevrangebyscore "
    "+watch +unwatch +setnx +setex +mget"
)

_OPERATOR: Final = (
    "+get +exists +type +hget +hmget +hgetall +hlen +smembers +llen +scan "
    "+xlen +xrange +xrevrange +xpending +xinfo|stream +xinfo|groups +xinfo|consumers"
)

#: A session's name is hexadecimal, so that this matches no other key in braces.
_SESSIONS: Final = "~dx:{[0-9a-f]*"


def rules(queues: Sequence[str], passwords: dict[str, str]) -> list[str]:
    """Return one line for each user, as an ACL file has them and ``ACL SETUSER`` takes them.

    For Redis 7.2 and newer, and Valkey. The passwords are in them as digests only.

    Args:
        queues: The queues that the nodes serve.
        passwords: The users' passwords: of ``caller``, ``node`` and ``operator``.
    """
    # kombu has four lists for a queue, one for each priority; callers use the first.
    lists = " ".join(f"~{queue}" for queue in queues)
    by_priority = " ".join(f"~{queue}??[369]" for queue in queues)
    shared = "~dx:demand:* ~dx:rate:* ~dx:permits:* ~dx:history ~dx:{letters}:* ~dx:{totals}:*"
    nodes = "%R~dx:{nodes}:names %R~dx:{nodes}:*:record %W~dx:{nodes}:*:commands"
    granted = {
        "caller": f"{_SESSIONS} {shared} {nodes} {lists} -@all {_CONNECT} {_SCRIPTS} {_CALLER}",
        "node": f"~dx:* {lists} {by_priority} ~_kombu.binding* ~unacked ~unacked_index "
        f"~unacked_mutex -@all {_CONNECT} {_SCRIPTS} {_NODE}",
        "operator": f"%R~dx:* {lists.replace('~', '%R~')} -@all {_CONNECT} {_OPERATOR}",
    }
    return [
        f"user distexec-{role} on #{_digest(passwords[role])} resetchannels {granted[role]}"
        for role in granted
    ]


def _digest(password: str) -> str:
    """As the server wants it. Its passwords are random, so that this tells nothing of them."""
    return hashlib.sha256(password.encode()).hexdigest()
