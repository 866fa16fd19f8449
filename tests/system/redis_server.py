"""A Redis of one's own for system tests: scripts/redis.sh, and a client in a few lines of RESP."""
import re
import socket
import threading
from lib import *

SCRIPT = os.path.join(ROOT, "scripts/redis.sh")


def need_redis():
    if not shutil.which("redis-server"):
        print("ok - redis # SKIP no redis-server")
        sys.exit(0)


class Redis:
    """A server; r("GET", "key") asks it. An error is returned as text that starts with -."""

    def __init__(self, name, *args, port=None, tls=False):
        self.dir, self.tls = path(name), tls
        if port:
            os.makedirs(self.dir, exist_ok=True)
            write(f"{name}/port", str(port))
        self.start(*args)

    def start(self, *args):
        self.args = args or getattr(self, "args", ())
        p = subprocess.run([SCRIPT, "start", self.dir, *map(str, self.args)], capture_output=True, text=True,
                           env={**os.environ, **({"REDIS_TLS": "1"} if self.tls else {})})
        self.port = int(p.stdout.split()[-1])
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def stop(self, how="stop"):
        subprocess.run([SCRIPT, how, self.dir], capture_output=True)

    def cli(self, *args):
        """A number from a server that speaks TLS."""
        files = [f"--{option}={self.dir}/{file}" for option, file in (("cacert", "ca.crt"), ("cert", "client.crt"), ("key", "client.key"))]
        files = [part for f in files for part in f.split("=", 1)]
        return int(subprocess.run(["redis-cli", "--tls", *files, "-p", str(self.port), *args], capture_output=True, text=True).stdout)

    def connect(self, *args):
        s = socket.create_connection(("127.0.0.1", self.port))
        f = s.makefile("rwb")
        s.close()
        send(f, args)
        return f

    def __call__(self, *args, auth=None):
        f = self.connect(*(["AUTH", *auth] if auth else args))
        reply = receive(f)
        if auth:
            send(f, args)
            reply = receive(f)
        f.close()
        return reply

    def events(self, key="alerts", **k):
        """The JSON of each entry of a stream, in order."""
        return [e[1][1] for e in self("XRANGE", key, "-", "+", **k)]


def send(f, args):
    args = [str(a).encode() for a in args]
    f.write(b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(a), a) for a in args))
    f.flush()


def receive(f):
    line = f.readline()
    kind, rest = line[:1], line[1:-2]
    if kind == b"$":
        return None if rest == b"-1" else f.read(int(rest) + 2)[:-2].decode()
    if kind == b"*":
        return [receive(f) for _ in range(int(rest))]
    if kind == b":":
        return int(rest)
    return ("-" if kind == b"-" else "") + rest.decode()


class Monitor:
    """What clients sent: a list of argument lists, that grows."""

    def __init__(self, server):
        self.commands = []
        self.f = server.connect("MONITOR")
        receive(self.f)
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        for line in self.f:
            head, _, rest = line.decode().partition("] ")
            if "lua" in head:
                continue
            quoted = re.findall(r'"((?:[^"\\]|\\.)*)"', rest)
            self.commands.append([re.sub(r"\\(x[0-9a-f]{2}|.)", lambda m: {"n": "\n", "r": "\r", "t": "\t"}.get(m[1], m[1][-1]), q) for q in quoted])


class Run:
    """`ringtape run` of a simulated market in real time, an alert for each trade."""

    def __init__(self, name, *args, rate=200, seed=1):
        self.dir, self.alerts, self.log = path(name), path(name + ".alerts"), path(name + ".log")
        rule = rules("every.json", {"id": "every", "expr": "price > 0", "cooldown": 0})
        self.p = subprocess.Popen([BIN, "run", "--source", f"sim:symbols=20,seed={seed},start=2026-03-02T09:31:00-05:00,rate={rate},bad=0",
                                   "--rules", rule, "--dir", self.dir, "--alerts", self.alerts, *map(str, args)],
                                  stderr=open(self.log, "w"), stdout=subprocess.DEVNULL, start_new_session=True)

    def said(self, text, seconds=10):
        return wait_for(lambda: text in open(self.log).read(), seconds)

    def role(self, role):
        """The pid of the child with that role, None while there is none."""
        return role_pid(self.p, role)

    def end(self):
        """ctrl-C; the alerts that it made, in order, as in a sink."""
        self.p.send_signal(signal.SIGINT)
        try:
            code = self.p.wait(30 * PATIENCE)
        except subprocess.TimeoutExpired:
            code = "none in time"
            self.kill()
        ok(code == 0, f"{os.path.basename(self.dir)} ends in good order", f"{code}\n{open(self.log).read()}")
        return open(self.alerts).read().splitlines()

    def kill(self):
        if self.p.poll() is None:
            os.killpg(self.p.pid, signal.SIGKILL)
            self.p.wait()
