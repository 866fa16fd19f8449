#!/usr/bin/env python3
"""What must not reach Redis twice, or take the place of another: each with a real server."""
from redis_server import *

need_redis()
servers, runs = [], []


def server(name, *args, **k):
    servers.append(Redis(name, *args, **k))
    return servers[-1]


def run(name, redis, *args, node="n", **k):
    runs.append(Run(name, "--set", f"sinks.redis={redis.url}", "--set", f"node.name={node}", "--set", "redis.alerts_maxlen=1000000",
                    "--drain-timeout", "5", *args, **k))
    return runs[-1]


def flows(redis, n=100):
    return wait_for(lambda: (redis("XLEN", "alerts") or 0) >= n, 15)


def same(got, want, what):
    ok(got == want and len(want) > 0, f"{what}: each of {len(want)} alerts exactly once, in order",
       f"{len(got)} are there, {len(set(got))} different; {len(set(want) - set(got))} missing")


def late_batch():
    redis = server("late")
    monitor = Monitor(redis)
    a = run("killed", redis)
    flows(redis)
    pid = a.role("publisher")
    os.kill(pid, signal.SIGKILL)
    late = [c for c in monitor.commands if c[:1] == ["EVALSHA"] and len(c) > 14]
    wait_for(lambda: a.role("publisher") not in (None, pid))
    flows(redis, redis("XLEN", "alerts") + 100)
    answers = [redis(*c) for c in late[-3:]]
    ok(len(answers) == 3 and all(r[0] == -1 for r in answers), "a killed publisher's last batches, arriving late, are refused", answers)
    again = list(late[-1])
    again[7] = f"{'0' * 32} 7"
    ok(redis(*again)[0] == -1, "so is one with a cursor that never was")
    want = a.end()
    same(redis.events(), want, "after them")


def second_directory():
    redis = server("second")
    a = run("first", redis)
    flows(redis)
    b = run("intruder", redis, seed=2)
    ok(b.said("the node's name n is in use"), "a second directory under the same node's name is refused", open(b.log).read())
    before = redis("XLEN", "alerts")
    flows(redis, before + 100)
    cursor, lease = redis("GET", "ringtape:cursor:n").split()[0], redis("GET", "ringtape:cursor:n:lease")
    ok(lease.startswith(cursor + " "), "the first one keeps cursor and lease", (cursor, lease))
    first = a.end()
    same(redis.events()[:len(first)], first, "the first one goes on")  # the second may be there already
    ok(b.said("its cursor is of another outbox"), "when it has ended the second takes over, and says so", open(b.log).read())
    wait_for(lambda: redis("XLEN", "alerts") > len(first) + 50)
    second = b.end()
    same(redis.events()[len(first):], second, "the second's follow")

    c = run("dead", redis, seed=3)
    flows(redis, redis("XLEN", "alerts") + 50)
    c.kill()
    ok(0 < redis("PTTL", "ringtape:cursor:n:lease") <= 10000, "of an instance that was killed whole the lease ends by itself")
    redis("FLUSHALL")


def older_copy():
    redis = server("copy")
    a = run("origin", redis)
    flows(redis)
    pid = a.role("publisher")
    os.kill(pid, signal.SIGSTOP)  # a copy torn in the middle of a write would count as a lost tail
    shutil.copytree(os.path.join(a.dir, "outbox"), os.path.join(path("restored"), "outbox"))
    os.kill(pid, signal.SIGCONT)
    flows(redis, redis("XLEN", "alerts") + 200)
    b = run("restored", redis)  # the same market: other events than the outbox has would end it at once
    ok(b.said("in use"), "a copy of a running instance's outbox is refused: its node is in use", open(b.log).read())
    want = a.end()
    ok(b.said("an older copy of the outbox was put in its place"), "… and then because it is older than the cursor", open(b.log).read())
    time.sleep(1)
    same(redis.events(), want, "nothing of it arrives")
    b.kill()


def another_type():
    redis = server("type")
    redis("RPUSH", "alerts", "mine")
    redis("HSET", "bars.finalized", "a", "b")
    a = run("typed", redis)
    ok(a.said("the key alerts holds a list, expected a stream; rename or delete the key"), "a key of another type: the log names it and the fix", open(a.log).read())
    ok(redis("LRANGE", "alerts", 0, -1) == ["mine"] and redis("EXISTS", "ringtape:cursor:n") == 0, "nothing was written beside it")
    redis("RENAME", "alerts", "mine")
    ok(a.said("the key bars.finalized holds a hash"), "the next one is named too")
    ok(redis("EXISTS", "alerts") == 0, "all keys are looked at before the first write")
    redis("DEL", "bars.finalized")
    flows(redis)
    want = a.end()
    same(redis.events(), want, "once both are out of the way")


def promoted_replica():
    primary = server("primary")
    replica = server("replica", "--replicaof", "127.0.0.1", primary.port)
    a = run("replicated", primary)
    flows(primary)
    ok(wait_for(lambda: (replica("XLEN", "alerts") or 0) > 50), "the replica follows")
    replica("REPLICAOF", "NO", "ONE")  # promoted: what comes after this it will never see
    lacks = replica("XLEN", "alerts")
    flows(primary, lacks + 200)
    ok(replica("XLEN", "alerts") == lacks, "the promoted replica lacks the last second", replica("XLEN", "alerts"))
    primary.stop("kill")
    replica.stop()
    moved = server("replica", "--replicaof", "no", "one", port=primary.port)  # its data under the primary's address
    ok(a.said("its cursor went back from"), "its cursor has gone back: said and delivered again", open(a.log).read())
    want = a.end()
    same(moved.events(), want, "on the promoted replica")
    bars = moved.events("bars.finalized")
    ok(len(bars) == len(set(bars)), "bars too", len(bars))


try:
    for case in (late_batch, second_directory, older_copy, another_type, promoted_replica):
        case()
finally:
    for r in runs:
        r.kill()
    for s in servers:
        s.stop("kill")
done()
