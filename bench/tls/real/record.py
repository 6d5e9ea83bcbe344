#!/usr/bin/env python3
"""Record long-lived TLS sessions of real programs: a capture and labels.csv, one line a session, for bench/tls.

    unshare --net --mount --pid --fork --kill-child bench/tls/real/record.py DIR [SEED] [SECONDS]

It wants, from Debian: postgresql mariadb-server dovecot-imapd fetchmail redis mosquitto mosquitto-clients nginx-light etcd-server
etcd-client stunnel4 openssh-server ngircd tcpdump curl python3-websockets. What is missing is told and left out. Nothing here mines.
Each kind of session has a server address of its own, by which it is labelled.
"""
import asyncio, csv, glob, http.client, imaplib, logging, os, random, shutil, signal, socket, ssl, subprocess, sys, threading, time

DIR = os.path.abspath(sys.argv[1])
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
SECONDS = int(sys.argv[3]) if len(sys.argv) > 3 else 270
END = 0.0
children, kinds, lock = [], [], threading.Lock()


def run(*args, **kw):
    kw.setdefault("stdout", subprocess.DEVNULL)
    kw.setdefault("stderr", open(os.path.join(DIR, "log"), "ab"))
    p = subprocess.Popen(args, **kw)
    children.append(p)
    return p


def need(*programs):
    missing = [p for p in programs if not shutil.which(p) and not os.path.exists(p)]
    if missing:
        print("left out: no", ", ".join(missing), file=sys.stderr)
    return not missing


def ready(port, host="127.0.0.1"):
    for _ in range(200):
        try:
            socket.create_connection((host, port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("nobody listens on port %d" % port)


def address(kind):
    """The server address of a kind of session."""
    with lock:
        if kind not in kinds:
            kinds.append(kind)
        return "10.77.%d.1" % (kinds.index(kind) + 1)


def left():
    return END - time.time()


class Rhythm:
    """How one session waits: by chance, by a timer, or by a timer that trembles; how long its texts are: always alike, or not."""

    def __init__(self, r, low=1.5, high=25):
        self.r, self.mean = r, low * (high / low) ** r.random()
        self.how = r.choice(["chance", "chance", "timer", "trembling"])
        self.size, self.spread = r.randrange(10, 600), r.choice([0, 0, 5, 200])

    def wait(self):
        d = {"chance": self.r.expovariate(1 / self.mean), "timer": self.mean, "trembling": self.mean * self.r.uniform(0.8, 1.2)}[self.how]
        time.sleep(max(0, min(d, left())))
        return left() > 0

    def text(self):
        return "".join(self.r.choices("0123456789abcdef", k=self.size + self.r.randrange(self.spread + 1)))


sessions = []


def session(n):
    """Make n sessions of what the function below does; it gets its number, its randomness and its address."""
    def wrap(f):
        for i in range(n):
            sessions.append((f, i, random.Random("%d %s %d" % (SEED, f.__name__, i)), address(f.__name__.replace("_", " "))))
        return f
    return wrap


def tell(p, text):
    p.stdin.write(text.encode())
    p.stdin.flush()


def context():
    c = ssl.create_default_context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    return c


def wrapped(addr, port):
    return context().wrap_socket(socket.create_connection((addr, port)), server_hostname=random.choice([None, "lab.example"]))


def drain(s):
    def loop():
        try:
            while s.recv(65536):
                pass
        except OSError:
            pass
    threading.Thread(target=loop, daemon=True).start()


def certificate():
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=lab.example",
                    "-addext", "subjectAltName=DNS:lab.example,DNS:localhost,IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"], cwd=DIR, check=True, stderr=subprocess.DEVNULL)
    os.chmod(DIR, 0o755)
    os.chmod(DIR + "/key.pem", 0o644)


def write(name, text):
    with open(os.path.join(DIR, name), "w") as f:
        f.write(text)
    return os.path.join(DIR, name)


# PostgreSQL

def postgres():
    found = glob.glob("/usr/lib/postgresql/*/bin")
    if not found or not need("psql", "pgbench"):
        return
    b, d = found[-1], DIR + "/pg"
    os.mkdir(d)
    shutil.chown(d, "postgres")
    as_ = dict(user="postgres", group="postgres", cwd="/tmp")
    subprocess.run([b + "/initdb", "-A", "trust", "-D", d], check=True, stdout=subprocess.DEVNULL, **as_)
    shutil.copy(DIR + "/cert.pem", d + "/server.crt")
    shutil.copy(DIR + "/key.pem", d + "/server.key")
    shutil.chown(d + "/server.key", "postgres")
    os.chmod(d + "/server.key", 0o600)
    with open(d + "/pg_hba.conf", "a") as f:
        f.write("host all all 10.0.0.0/8 trust\n")
    run(b + "/postgres", "-D", d, "-c", "ssl=on", "-c", "listen_addresses=*", "-c", "unix_socket_directories=/tmp", "-c", "max_connections=200", **as_)
    ready(5432)
    time.sleep(1)
    subprocess.run(["pgbench", "-q", "-i", "-h", "127.0.0.1", "-U", "postgres", "postgres"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run(["psql", "-qh", "127.0.0.1", "-U", "postgres", "-c", "create table jobs(id serial, body text, done bool default false); create table samples(at timestamptz, v text)"], check=True)

    def psql(addr):
        return run("psql", "-Xqh", addr, "-U", "postgres", "postgres", stdin=subprocess.PIPE, env=dict(os.environ, PGSSLMODE="require"))

    @session(12)
    def postgres_listen(i, r, addr):
        p, w = psql(addr), Rhythm(r)
        tell(p, "listen c%d;\n" % i)
        while w.wait():
            tell(p, "select 1;\n")

    @session(12)
    def postgres_notify(i, r, addr):
        p, w = psql(addr), Rhythm(r, 3, 60)
        while w.wait():
            tell(p, "notify c%d, '%s';\n" % (i, w.text()))

    @session(10)
    def postgres_worker(i, r, addr):
        p, w = psql(addr), Rhythm(r)
        tell(p, "listen c%d;\n" % (i % 12))
        while w.wait():
            tell(p, r.choice(["update jobs set done = true where id = (select id from jobs where not done limit 1 for update skip locked) returning body;\n", "insert into jobs(body) values ('%s');\n" % w.text()]))

    @session(10)
    def postgres_metrics(i, r, addr):
        p, w = psql(addr), Rhythm(r)
        while w.wait():
            tell(p, "insert into samples values (now(), '%s');\n" % w.text())

    @session(8)
    def pgbench_select(i, r, addr):
        run("pgbench", "-n", "-S", "-h", addr, "-U", "postgres", "-R", "%.3f" % (1 / Rhythm(r).mean), "-T", str(int(left())), "-M", r.choice(["simple", "extended", "prepared"]), "postgres", env=dict(os.environ, PGSSLMODE="require"))

    @session(6)
    def pgbench_transactions(i, r, addr):
        run("pgbench", "-n", "-h", addr, "-U", "postgres", "-R", "%.3f" % (1 / Rhythm(r).mean), "-T", str(int(left())), "-M", r.choice(["simple", "extended", "prepared"]), "postgres", env=dict(os.environ, PGSSLMODE="require"))

    @session(4)
    def psql_watch(i, r, addr):
        p = psql(addr)
        tell(p, "select now(), count(*) from pg_stat_activity \\watch %d\n" % r.randrange(2, 15))


# MariaDB

def mariadb():
    if not need("mariadbd", "mariadb-install-db", "mariadb"):
        return
    d = DIR + "/my"
    os.mkdir(d)
    subprocess.run(["mariadb-install-db", "--no-defaults", "--user=root", "--datadir=" + d, "--auth-root-authentication-method=normal", "--skip-test-db"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    init = write("my.sql", "create user 'lab'@'%' identified by 'lab';\ngrant all on *.* to 'lab'@'%';\ncreate database lab;\ncreate table lab.samples(v text);\n")
    run("mariadbd", "--no-defaults", "--user=root", "--datadir=" + d, "--socket=" + d + "/s", "--ssl-cert=" + DIR + "/cert.pem", "--ssl-key=" + DIR + "/key.pem", "--init-file=" + init, "--bind-address=0.0.0.0")
    ready(3306)

    @session(10)
    def mariadb_client(i, r, addr):
        p, w = run("mariadb", "--no-defaults", "--ssl", "-h", addr, "-ulab", "-plab", "lab", stdin=subprocess.PIPE), Rhythm(r)
        one = r.choice(["insert into samples values ('%s');\n", "select '%s';\n", "update samples set v = '%s' limit 1;\n"])
        while w.wait():
            tell(p, one % w.text())


# IMAP

def dovecot():
    if not need("dovecot", "/usr/lib/dovecot/imap"):
        return
    os.mkdir(DIR + "/mail", 0o777)
    os.chmod(DIR + "/mail", 0o777)
    run("dovecot", "-F", "-c", write("dovecot.conf", f"""
base_dir = {DIR}/dovecot
state_dir = {DIR}/dovecot-state
log_path = {DIR}/dovecot.log
protocols = imap
ssl = required
ssl_cert = <{DIR}/cert.pem
ssl_key = <{DIR}/key.pem
mail_location = maildir:{DIR}/mail/%u
first_valid_uid = 1
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
passdb {{
  driver = static
  args = password=lab
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={DIR}/mail/%u
}}
service imap-login {{
  chroot =
  client_limit = 200
}}
service anvil {{
  chroot =
}}
mail_max_userip_connections = 200
imap_idle_notify_interval = 60s
"""))
    ready(993)

    def login(addr, i):
        c = imaplib.IMAP4_SSL(addr, ssl_context=context())
        c.login("u%d" % i, "lab")
        c.select("INBOX")
        return c

    @session(14)
    def imap_idle(i, r, addr):
        c = login(addr, i)
        c.sock.settimeout(1)
        while left() > 0:
            c.send(b"x%d IDLE\r\n" % r.randrange(10000))
            news, until = False, time.time() + r.choice([30, 60, 120, 300])
            while left() > 0 and time.time() < until and not news:
                try:
                    news = b"EXISTS" in c.sock.recv(8192)
                except TimeoutError:
                    pass
            c.send(b"DONE\r\n")
            time.sleep(0.05)
            if news:
                c.send(b"f%d FETCH * (UID FLAGS BODY.PEEK[HEADER])\r\n" % r.randrange(10000))
                time.sleep(0.2)

    @session(8)
    def imap_poll(i, r, addr):
        c, w = login(addr, i), Rhythm(r, 3, 40)
        while w.wait():
            c.noop()

    @session(8)
    def imap_append(i, r, addr):
        c, w = login(addr, i), Rhythm(r, 5, 60)
        while w.wait():
            c.append("INBOX", None, None, ("Subject: %s\r\n\r\n%s\r\n" % (w.text()[:30], w.text())).encode())

    if need("fetchmail"):
        @session(6)
        def fetchmail_idle(i, r, addr):
            home = "%s/fetch%d" % (DIR, i)
            os.mkdir(home)
            rc = write("fetch%d/rc" % i, 'poll %s protocol imap port 993 user "u%d" password "lab" ssl no sslcertck idle keep mda "/bin/true"\n' % (addr, i))
            os.chmod(rc, 0o600)
            run("fetchmail", "-f", rc, "--nodetach", "--nosyslog", "--pidfile", home + "/pid", env=dict(os.environ, FETCHMAILHOME=home, HOME=home))


# Redis

def redis():
    if not need("redis-server", "redis-cli"):
        return
    tls = ["--tls-cert-file", DIR + "/cert.pem", "--tls-key-file", DIR + "/key.pem", "--tls-ca-cert-file", DIR + "/cert.pem", "--tls-auth-clients", "no", "--save", "", "--protected-mode", "no", "--dir", DIR]
    run("redis-server", "--port", "0", "--tls-port", "6379", "--bind", "0.0.0.0", *tls)
    ready(6379)

    def cli(addr, *more, **kw):
        return run("redis-cli", "--tls", "--insecure", "-h", addr, *more, **kw)

    @session(8)
    def redis_subscribe(i, r, addr):
        cli(addr, "subscribe", "c%d" % i)

    @session(8)
    def redis_publish(i, r, addr):
        p, w = cli(addr, stdin=subprocess.PIPE), Rhythm(r)
        while w.wait():
            tell(p, "publish c%d %s\n" % (i, w.text()))

    @session(8)
    def redis_work(i, r, addr):
        p, w = cli(addr, stdin=subprocess.PIPE), Rhythm(r)
        one = r.choice(["xadd s%d * v %%s\n" % i, "setex k%d 60 %%s\n" % i, "lpush l%d %%s\n" % i, "incrby n%d 7 \n%%.0s" % i])
        while w.wait():
            tell(p, one % w.text())

    @session(6)
    def redis_blocking(i, r, addr):
        p = cli(addr, stdin=subprocess.PIPE)
        while left() > 0:
            tell(p, r.choice(["brpop l%d %d\n" % (i, 5), "xread block 5000 streams s%d $\n" % i]))
            time.sleep(5)

    @session(4)
    def redis_every(i, r, addr):
        cli(addr, "-r", "-1", "-i", "%.1f" % Rhythm(r).mean, r.choice(["ping", "dbsize", "info"]))

    @session(3)
    def redis_replica(i, r, addr):
        run("redis-server", "--port", str(7000 + i), "--replicaof", addr, "6379", "--tls-replication", "yes", "--dbfilename", "replica%d" % i, *tls)


# MQTT

def mqtt():
    if not need("mosquitto", "mosquitto_pub", "mosquitto_sub"):
        return
    run("mosquitto", "-c", write("mosquitto.conf", f"listener 8883 0.0.0.0\ncertfile {DIR}/cert.pem\nkeyfile {DIR}/key.pem\nallow_anonymous true\nuser root\n"))
    ready(8883)
    tls = ["--cafile", DIR + "/cert.pem", "--insecure", "-p", "8883"]

    @session(10)
    def mqtt_subscriber(i, r, addr):
        run("mosquitto_sub", "-h", addr, *tls, "-q", str(r.randrange(3)), "-k", str(r.choice([10, 20, 60])), "-t", "d/%d/#" % i)

    @session(12)
    def mqtt_publisher(i, r, addr):
        p, w = run("mosquitto_pub", "-h", addr, *tls, "-q", str(r.choice([0, 1, 1, 2])), "-t", "d/%d/v" % i, "-l", stdin=subprocess.PIPE), Rhythm(r)
        while w.wait():
            tell(p, w.text() + "\n")

    @session(12)
    def mqtt_bridge(i, r, addr):
        port = 18000 + i
        run("mosquitto", "-c", write("bridge%d.conf" % i, f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nconnection b{i}\naddress {addr}:8883\nbridge_cafile {DIR}/cert.pem\nbridge_insecure true\ntopic up/{i}/# out {r.choice([0, 1, 1, 2])}\ntopic down/{i}/# in {r.choice([0, 1])}\nkeepalive_interval {r.choice([10, 30, 60])}\nnotifications false\n"))
        ready(port)
        up, w = run("mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "-q", "1", "-t", "up/%d/v" % i, "-l", stdin=subprocess.PIPE), Rhythm(r)
        down, v = run("mosquitto_pub", "-h", "127.0.0.1", "--cafile", DIR + "/cert.pem", "--insecure", "-p", "8883", "-t", "down/%d/c" % i, "-l", stdin=subprocess.PIPE), Rhythm(r, 8, 70)

        def commands():
            while v.wait():
                tell(down, v.text() + "\n")
        threading.Thread(target=commands, daemon=True).start()
        while w.wait():
            tell(up, w.text() + "\n")


# The web

def web():
    if not need("nginx"):
        return
    try:
        import websockets
    except ImportError:
        print("left out: no python3-websockets", file=sys.stderr)
        return
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # ends are no errors here
    r0 = random.Random(SEED)

    async def socket_(ws, path=""):
        style, mean, size = r0.choice(["ack", "ack", "echo", "quiet"]), 5 * 12 ** r0.random(), r0.randrange(30, 900)

        async def push():
            while True:
                await asyncio.sleep(r0.expovariate(1 / mean))
                await ws.send("p" * size)
        task = asyncio.ensure_future(push())
        try:
            async for m in ws:
                if style == "ack":
                    await ws.send('{"ok":true}')
                elif style == "echo":
                    await ws.send(m)
        finally:
            task.cancel()

    async def plain(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = [int(x.split(":")[1]) for x in head.splitlines() if x.lower().startswith("content-length:")]
                await reader.readexactly(length[0] if length else 0)
                if "/events" in head:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
                    while True:
                        await asyncio.sleep(r0.expovariate(1 / 9))
                        writer.write(b"data: " + b"e" * r0.randrange(20, 500) + b"\n\n")
                        await writer.drain()
                if "/long" in head:
                    await asyncio.sleep(r0.expovariate(1 / 12))
                body = b"x" * (15 if "/telemetry" in head else r0.randrange(20, 400))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    def backend():
        async def main():
            await websockets.serve(socket_, "127.0.0.1", 9001)
            await asyncio.start_server(plain, "127.0.0.1", 9002)
            await asyncio.Future()
        asyncio.run(main())
    threading.Thread(target=backend, daemon=True).start()
    run("nginx", "-p", DIR, "-c", write("nginx.conf", f"""
daemon off; pid {DIR}/nginx.pid; error_log {DIR}/nginx.log; user root;
events {{ }}
http {{
  access_log off; client_body_temp_path {DIR}/nb; proxy_temp_path {DIR}/np; fastcgi_temp_path {DIR}/nf; uwsgi_temp_path {DIR}/nu; scgi_temp_path {DIR}/ns;
  server {{
    listen 443 ssl http2; ssl_certificate {DIR}/cert.pem; ssl_certificate_key {DIR}/key.pem; keepalive_timeout 600; keepalive_requests 100000; proxy_buffering off; proxy_read_timeout 600;
    location /ws {{ proxy_pass http://127.0.0.1:9001; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}
    location / {{ proxy_pass http://127.0.0.1:9002; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""))
    ready(443)

    def websocket(i, r, addr):
        async def main():
            w = Rhythm(r)
            async with websockets.connect("wss://%s/ws" % addr, ssl=context(), ping_interval=r.choice([None, 20, 30])) as ws:
                async def read():
                    async for _ in ws:
                        pass
                task = asyncio.ensure_future(read())
                while left() > 0:
                    await asyncio.sleep(min(max(0, left()), {"chance": r.expovariate(1 / w.mean)}.get(w.how, w.mean)))
                    await ws.send(w.text())
                task.cancel()
        asyncio.run(main())
    session(20)(websocket)

    def posts(addr, path, r):
        c, w = http.client.HTTPSConnection(addr, context=context()), Rhythm(r)
        while True:
            c.request("POST", path, body=w.text(), headers={"User-Agent": "lab", "Content-Type": "application/json"})
            c.getresponse().read()
            if not w.wait():
                return

    @session(10)
    def http_telemetry(i, r, addr):
        posts(addr, "/telemetry", r)

    @session(10)
    def http_long_poll(i, r, addr):
        posts(addr, "/long", r)

    @session(6)
    def http_events_by_curl(i, r, addr):
        run("curl", "-skN", r.choice(["--http2", "--http1.1"]), "https://%s/events" % addr)

    if need("chromium"):
        page = write("page.html", "")
        script = """
          const chance = m => -Math.log(Math.random()) * m, wait = t => new Promise(f => setTimeout(f, t));
          const ws = new WebSocket('wss://' + location.host + '/ws');
          (async () => { for (;;) { await wait(chance(%d)); ws.send('m'.repeat(%d)); } })();
          (async () => { for (;;) { await fetch('/telemetry', {method: 'POST', body: 'b'.repeat(%d)}); await wait(chance(%d)); } })();
          (async () => { for (;;) { await fetch('/long'); } })();
          new EventSource('/events');
        """

        @session(2)
        def chromium(i, r, addr):
            home = "%s/chromium%d" % (DIR, i)
            p = run("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--ignore-certificate-errors", "--user-data-dir=" + home, "--remote-debugging-port=0", "https://%s/telemetry" % addr)
            for _ in range(200):
                if os.path.exists(home + "/DevToolsActivePort"):
                    break
                time.sleep(0.1)
            port = open(home + "/DevToolsActivePort").read().split()[0]
            time.sleep(2)
            c = http.client.HTTPConnection("127.0.0.1", int(port))
            c.request("GET", "/json")
            import json
            target = [t for t in json.load(c.getresponse()) if t["type"] == "page"][0]["webSocketDebuggerUrl"]

            async def main():
                async with websockets.connect(target) as ws:
                    code = script % (r.randrange(2000, 20000), r.randrange(30, 400), r.randrange(100, 600), r.randrange(3000, 20000))
                    await ws.send(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": {"expression": code}}))
                    while left() > 0:
                        await asyncio.sleep(1)
            asyncio.run(main())
        del page


# etcd speaks gRPC

def etcd():
    if not need("etcd", "etcdctl"):
        return
    run("etcd", "--data-dir", DIR + "/etcd", "--cert-file", DIR + "/cert.pem", "--key-file", DIR + "/key.pem", "--listen-client-urls", "https://0.0.0.0:2379", "--advertise-client-urls", "https://127.0.0.1:2379", "--listen-peer-urls", "http://127.0.0.1:2380")
    ready(2379)
    time.sleep(3)

    def ctl(addr, *more, **kw):
        return run("etcdctl", "--endpoints", "https://%s:2379" % addr, "--insecure-skip-tls-verify", "--insecure-transport=false", *more, env=dict(os.environ, ETCDCTL_API="3"), **kw)

    @session(8)
    def etcd_watch(i, r, addr):
        ctl(addr, "watch", "--prefix", "k%d" % i, "--keepalive-time", "%ds" % r.choice([5, 10, 20]))

    @session(8)
    def etcd_put(i, r, addr):
        w = Rhythm(r, 4, 40)
        while w.wait():
            ctl(addr, "put", "k%d" % i, w.text()).wait()

    @session(8)
    def etcd_lease(i, r, addr):
        out = ctl(addr, "lease", "grant", str(r.randrange(6, 60)), stdout=subprocess.PIPE).communicate()[0].decode().split()
        ctl(addr, "lease", "keep-alive", out[1])

    @session(4)
    def etcd_elect(i, r, addr):
        ctl(addr, "elect", "-l", "e%d" % (i // 2), "v") if i % 2 else ctl(addr, "elect", "e%d" % (i // 2), "v")


# SSH within TLS

def ssh():
    if not need("stunnel4", "/usr/sbin/sshd", "ssh"):
        return
    os.makedirs("/run/sshd", exist_ok=True)
    for k in "host", "user":
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", DIR + "/" + k], check=True)
    run("/usr/sbin/sshd", "-D", "-p", "2222", "-f", write("sshd_config", f"HostKey {DIR}/host\nAuthorizedKeysFile {DIR}/user.pub\nPermitRootLogin yes\nStrictModes no\nUsePAM no\nPidFile none\nMaxStartups 100\n"))
    run("stunnel4", write("stunnel.conf", f"foreground = yes\npid =\n[ssh]\naccept = 0.0.0.0:8443\nconnect = 127.0.0.1:2222\ncert = {DIR}/cert.pem\nkey = {DIR}/key.pem\n"))
    ready(8443)

    def shell(addr, *command):
        proxy = "openssl s_client -quiet -connect %s:8443" % addr
        return run("ssh", "-tt", "-i", DIR + "/user", "-o", "ProxyCommand=" + proxy, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ServerAliveInterval=15", "root@lab", *command, stdin=subprocess.PIPE)

    @session(8)
    def ssh_typing(i, r, addr):
        p, w = shell(addr, "bash --norc"), Rhythm(r, 4, 25)
        while w.wait():
            for c in r.choice(["ls /\n", "date\n", "uptime; ps | head\n", "cat /etc/hostname\n", "echo %s\n" % w.text()[:20]]):
                tell(p, c)
                time.sleep(r.uniform(0.05, 0.4))

    @session(6)
    def ssh_log(i, r, addr):
        shell(addr, "while sleep $((RANDOM %% %d + 1)); do date; done" % r.randrange(2, 20))


# IRC

def irc():
    if not need("ngircd"):
        return
    run("ngircd", "-n", "-f", write("ngircd.conf", f"[Global]\nName = irc.lab.example\nInfo = lab\nListen = 0.0.0.0\nPorts = 6667\n[Limits]\nMaxConnections = 0\nMaxConnectionsIP = 0\nPingTimeout = 30\n[Options]\nDNS = no\nIdent = no\nPAM = no\n[SSL]\nCertFile = {DIR}/cert.pem\nKeyFile = {DIR}/key.pem\nPorts = 6697\n"))
    ready(6697)

    @session(16)
    def irc_chat(i, r, addr):
        s, w = wrapped(addr, 6697), Rhythm(r, 4, 40)
        s.sendall(b"NICK n%d\r\nUSER n%d 0 * :n\r\nJOIN #r%d\r\n" % (i, i, i // 4))

        def answer():
            rest = b""
            try:
                while True:
                    got = s.recv(65536)
                    if not got:
                        return
                    *lines, rest = (rest + got).split(b"\r\n")
                    for one in lines:
                        if one.startswith(b"PING"):
                            s.sendall(b"PONG" + one[4:] + b"\r\n")
            except OSError:
                pass
        threading.Thread(target=answer, daemon=True).start()
        while w.wait():
            s.sendall(b"PRIVMSG #r%d :%s\r\n" % (i // 4, w.text()[:r.randrange(5, 300)].encode()))


def main():
    global END
    os.makedirs(DIR)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "addr", "add", "10.77.0.1/16", "dev", "lo"], check=True)
    certificate()
    for start in postgres, mariadb, dovecot, redis, mqtt, web, etcd, ssh, irc:
        try:
            start()
        except Exception as e:  # one server less is a smaller recording
            print("left out: %s: %r" % (start.__name__, e), file=sys.stderr)
    capture = run("tcpdump", "-i", "lo", "-U", "-B", "16384", "-w", DIR + "/real.pcap", "-Z", "root", "net 10.77.0.0/16")
    time.sleep(1)
    END = time.time() + SECONDS + 10

    def one(f, i, r, addr):
        time.sleep(r.uniform(0, 8))
        try:
            f(i, r, addr)
        except Exception as e:
            if left() > 5:
                print("%s %d: %r" % (f.__name__, i, e), file=sys.stderr)
    for s in sessions:
        threading.Thread(target=one, args=s, daemon=True).start()
    time.sleep(max(0, left()))
    capture.send_signal(signal.SIGINT)
    capture.wait()
    with open(DIR + "/labels.csv", "w") as f:
        csv.writer(f).writerows([["10.77.%d.1" % (n + 1), k] for n, k in enumerate(kinds)])
    print(len(sessions), "sessions of", len(kinds), "kinds")
    for p in children:
        p.kill()
    os._exit(0)


main()
