#!/usr/bin/env python3
"""SIGHUP: sinks take new settings while the instance runs; a bad file changes nothing; a terminal that is closed ends it."""
import pty
from redis_server import *

need_redis()
one = Redis("one")
two = Redis("two")
tls = Redis("tls", tls=True)
run = None


def settings(*lines):
    write("r.ini", "[node]\nname = n\n[redis]\nalerts_maxlen = 1000000\n" + "\n".join(lines) + "\n")


def hup():
    run.p.send_signal(signal.SIGHUP)


def grows(size, least=50):
    """True once size() is `least` more than now."""
    now = size()
    return wait_for(lambda: size() >= now + least, 15)


def lines(name):
    return open(path(name)).read().splitlines() if os.path.exists(path(name)) else []


try:
    secret, other = write("secret", "tape:old"), write("other", "tape:new")
    one("ACL", "SETUSER", "tape", "on", ">old", "~*", "&*", "+@all")
    settings(f"password_file = {secret}", "[sinks]", f"redis = {one.url}")
    run = Run("run", "--config", path("r.ini"), "--drain-timeout", "10")
    ok(wait_for(lambda: (one("XLEN", "alerts") or 0) > 50), "it delivers", open(run.log).read())

    one("ACL", "SETUSER", "tape", "resetpass", ">new")
    one("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    ok(run.said("WRONGPASS"), "the password was changed at the server: the sink is down and says why", open(run.log).read())
    stuck = one("XLEN", "alerts")
    settings(f"password_file = {other}", "[sinks]", f"redis = {one.url}")
    hup()
    ok(wait_for(lambda: one("XLEN", "alerts") > stuck + 50), "SIGHUP with another password file: it goes on", open(run.log).read())

    one("ACL", "SETUSER", "tape", "-xadd")
    ok(run.said("give the user"), "a right was taken away: the log says which to give", open(run.log).read())
    one("ACL", "SETUSER", "tape", "+xadd")
    hup()
    ok(grows(lambda: one("XLEN", "alerts")), "given again: SIGHUP tries at once")

    settings(f"password_file = {other}", "[sinks]", f"redis = {two.url}", "jsonll = x")
    hup()
    ok(run.said("r.ini:8: there is no setting \"sinks.jsonll\"; did you mean sinks.jsonl?; the sinks go on as they were"),
       "a bad file is refused with its line", open(run.log).read())
    settings(f"password_file = {other}", "ca_file = x.crt", "[sinks]", f"redis = {two.url}")
    hup()
    ok(run.said("redis.ca_file and redis.cert_file are for TLS"), "so are settings that no sink can work with", open(run.log).read())
    ok(grows(lambda: one("XLEN", "alerts")) and two("EXISTS", "alerts") == 0, "the sinks go on with the old ones")

    publisher = run.role("publisher")
    settings(f"password_file = {other}", "[sinks]", f"redis = {one.url}", f"jsonl = {path('sink.jsonl')}")
    hup()
    ok(wait_for(lambda: len(lines("sink.jsonl")) > 50), "a sink that is new in the file is started", open(run.log).read())
    settings(*(f"{kind}_file = {tls.dir}/{file}" for kind, file in (("ca", "ca.crt"), ("cert", "client.crt"), ("key", "client.key"))),
             "[sinks]", f"redis = rediss://localhost:{tls.port}", f"jsonl = {path('sink.jsonl')}")
    hup()
    ok(wait_for(lambda: tls.cli("XLEN", "alerts") >= one("XLEN", "alerts")), "a server that speaks TLS gets everything", open(run.log).read())
    settings("[sinks]", f"redis = {two.url}")
    hup()
    ok(wait_for(lambda: (two("XLEN", "alerts") or 0) > one("XLEN", "alerts")), "another server: it gets everything from the outbox's first event on")
    wait_for(lambda: open(run.log).read().count("SIGHUP: settings read") == 5)
    time.sleep(0.5)
    file, first = lines("sink.jsonl"), one.events()
    ok(grows(lambda: two("XLEN", "alerts"), 100) and lines("sink.jsonl") == file and one.events() == first, "what is no longer in the file is stopped")
    ok(run.role("publisher") == publisher and run.role("scanner:0"), "no role was started again")

    want = run.end()
    ok(two.events() == want and len(want) > 200, f"the second server has each of {len(want)} alerts exactly once, in order", len(two.events()))
    ok(first == want[:len(first)], "the first one all up to its change")
    ok(file == want[:len(file)] and len(file) > 50, "the file too")

    master, slave = pty.openpty()
    source = f"sim:symbols=5,seed=1,start=2026-03-02T09:31:00-05:00,rate=50,bad=0"
    run.p = subprocess.Popen([sys.executable, "-c", "import fcntl, os, sys, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])",
                              BIN, "run", "--source", source, "--rules", path("every.json"), "--dir", path("tty"), "--alerts", path("tty.alerts")],
                             stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    wait_for(lambda: os.path.exists(path("tty.alerts")) and os.path.getsize(path("tty.alerts")))
    run.p.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    ok(run.p.poll() is None, "SIGHUP in a terminal is no end")
    os.close(master)
    try:
        ok(run.p.wait(10 * PATIENCE) is not None, "a terminal that is closed is one")
    except subprocess.TimeoutExpired:
        ok(False, "a terminal that is closed is one")
finally:
    if run:
        run.kill()
    one.stop("kill")
    two.stop("kill")
    tls.stop("kill")
done()
