#!/usr/bin/env python3
"""TLS and SASL to a real Kafka: what is wrong is named with its setting, what is put right needs no restart, and at the end
every alert is there once."""
from redis_server import *

KAFKA, CAT = os.path.join(ROOT, "scripts/kafka.sh"), os.path.join(ROOT, "build", "kafka_cat")
run = None


def kafka(*args, check=True):
    p = subprocess.run([KAFKA, *args], capture_output=True, text=True)
    if p.returncode == 77:
        print("ok - kafka # SKIP " + p.stderr.strip().splitlines()[-1])
        sys.exit(0)
    if check and p.returncode:
        ok(False, f"kafka.sh {args}", p.stderr)
    return p.stdout.strip()


def free_port():
    """Two listeners more: a port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def certificate(name, *args):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-keyout", path(name + ".key"), "-out", path(name + ".crt"), *args], check=True, capture_output=True)


def settings(brokers, *lines):
    write("r.ini", f"[node]\nname = n\n[sinks]\nkafka = {brokers}\n[kafka]\nbatch = 100\n" + "\n".join(lines) + "\n")


def hup(*what):
    """Other settings; where the log stood before."""
    at = len(log())
    settings(*what)
    run.p.send_signal(signal.SIGHUP)
    return at


def log():
    return open(run.log).read()


def says(before, *words, seconds=90):
    """Whether a line of the log behind `before` has all words."""
    return wait_for(lambda: any(all(w in l for w in words) for l in log()[before:].splitlines()), seconds)


def cursor():
    """How many events the sink has confirmed."""
    p = subprocess.run([CAT, PLAIN, "ringtape.cursors"], capture_output=True, text=True, timeout=60 * PATIENCE)
    return int(p.stdout.split()[-1]) if p.returncode == 0 and p.stdout else 0


def grows(n=30):
    now = cursor()
    return wait_for(lambda: cursor() >= now + n, 90)


try:
    sign = ("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:false", "-CA", path("ca.crt"), "-CAkey", path("ca.key"))
    certificate("ca"), certificate("other"), certificate("server", *sign), certificate("client", *sign)
    write("server.pem", open(path("server.key")).read() + open(path("server.crt")).read())
    sasl, mutual = free_port(), free_port()
    listeners = f"PLAINTEXT://127.0.0.1:{{port}},SASL_SSL://127.0.0.1:{sasl},SSL://127.0.0.1:{mutual}"
    port = kafka("start", path("kafka"), f"listeners={listeners},CONTROLLER://127.0.0.1:{{controller}}", f"advertised.listeners={listeners}",
                 "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL",
                 "ssl.keystore.type=PEM", f"ssl.keystore.location={path('server.pem')}", "ssl.truststore.type=PEM", f"ssl.truststore.location={path('ca.crt')}",
                 "listener.name.ssl.ssl.client.auth=required", "sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
                 'listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_tape="plain-secret";',
                 "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
                 "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
                 "SCRAM-SHA-256=[name=tape,password=first-secret]", "SCRAM-SHA-512=[name=tape,password=long-secret]")
    if not port:
        sys.exit(1)  # said above
    PLAIN, SASL, MUTUAL = f"127.0.0.1:{port}", f"127.0.0.1:{sasl}", f"127.0.0.1:{mutual}"
    for name in ("first", "second", "long", "plain"):
        write(name, f"{name}-secret\n")
    write("now", "wrong-secret\n")
    trust, user = f"ca_file = {path('ca.crt')}", "user = tape"
    password = lambda name: f"password_file = {path(name)}"

    settings(SASL, trust, user, password("now"))
    run = Run("run", "--config", path("r.ini"), "--drain-timeout", "90", rate=50)
    ok(says(0, "sink kafka: " + SASL, "uthentication", "kafka.user", "kafka.password_file"), "a wrong password: broker, settings and fix are named", log())
    ok(run.p.poll() is None and cursor() == 0, "the instance goes on, the broker has nothing")
    write("now", "first-secret\n")
    ok(wait_for(lambda: cursor() > 30, 90), "the right one in the same file: it delivers, without a signal (SCRAM-SHA-256 over TLS)", log())

    at = hup(SASL, f"ca_file = {path('other.crt')}", user, password("now"))
    ok(says(at, "sink kafka: " + SASL, "certificate verify failed", "kafka.ca_file"), "a certificate that nobody vouches for: it is named", log())
    at = hup(SASL, user, "sasl = plain", password("plain"))
    ok(says(at, "SIGHUP", "kafka.sasl = plain sends the password in the clear", "kafka.ca_file"), "PLAIN without TLS is refused", log())
    hup(SASL, trust, user, "sasl = plain", password("plain"))
    ok(grows(), "PLAIN with TLS delivers", log())
    hup(SASL, trust, user, "sasl = scram-sha-512", password("long"))
    ok(grows(), "SCRAM-SHA-512 too", log())

    at = hup(MUTUAL, trust)
    ok(says(at, "sink kafka: " + MUTUAL, "kafka.cert_file"), "a broker that asks for a certificate of ours: the setting is named", log())
    at = hup(MUTUAL, trust, f"cert_file = {path('client.crt')}")
    ok(says(at, "kafka.cert_file is set and kafka.key_file is not"), "half of one is refused", log())
    hup(MUTUAL, trust, f"cert_file = {path('client.crt')}", f"key_file = {path('client.key')}")
    ok(grows(), "with it the sink delivers", log())

    hup(SASL, trust, user, password("first"))
    ok(grows(), "back to the password", log())
    kafka("tool", "kafka.admin.ConfigCommand", "--bootstrap-server", PLAIN, "--alter", "--add-config", "SCRAM-SHA-256=[password=second-secret]",
          "--entity-type", "users", "--entity-name", "tape")
    at = len(log())
    kafka("kill", path("kafka"))
    kafka("start", path("kafka"))
    ok(says(at, "uthentication", "kafka.password_file"), "the password was changed at the broker: the sink is down and says why", log())
    stuck = cursor()
    hup(SASL, trust, user, password("second"))
    ok(wait_for(lambda: cursor() > stuck + 30, 90), "SIGHUP with another password file: it goes on", log())

    want = [json.loads(l)["id"] for l in run.end()]
    records = subprocess.run([CAT, PLAIN, "alerts"], capture_output=True, text=True, timeout=60 * PATIENCE).stdout.splitlines()
    got = [json.loads(l.split("\t")[3])["payload"]["id"] for l in records]
    ok(sorted(got) == sorted(want) and len(want) > 150, f"each of {len(want)} alerts is there exactly once", (len(got), len(set(got))))
    shown = ringtape("config", "--config", path("r.ini")).stdout
    ok(path("second") in shown and not any(f"{n}-secret" in shown + log() for n in ("wrong", "first", "second", "long", "plain")),
       "`ringtape config` shows the file's name, and neither it nor the log a password")
    audit = ringtape("audit", "--dir", run.dir, "--config", path("r.ini"), code=None)
    ok(audit.returncode == 0 and "kafka bars" in audit.stdout, "the audit connects with the same settings, and holds", audit.stdout + audit.stderr)
finally:
    if run:
        run.kill()
    kafka("kill", path("kafka"), check=False)
done()
