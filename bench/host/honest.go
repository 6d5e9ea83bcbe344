package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// An honest program burns processors for good reasons.
type honest struct {
	name string
	need string // the program that must be on PATH
	sh   string // what to run; $D is a scratch directory; repeated until the time is up
}

// honestFor is how long each runs: longer than any rule waits for more evidence at full load.
const honestFor = 20 * time.Second

var honestPrograms = []honest{
	{"openssl AES, SHA", "openssl", "openssl speed -seconds 1 -multi 2 aes-256-cbc sha256 sha512"},
	{"openssl RSA, ECDSA, Ed25519", "openssl", "openssl speed -seconds 1 -multi 2 rsa2048 ecdsap256 ed25519 ecdhx25519"},
	{"openssl ChaCha20", "openssl", "openssl speed -seconds 1 -evp chacha20-poly1305"},
	{"sha256sum", "sha256sum", "head -c 3G /dev/zero | sha256sum"},
	{"b2sum", "b2sum", "head -c 3G /dev/zero | b2sum"},
	{"ffmpeg x264", "ffmpeg", "ffmpeg -loglevel error -f lavfi -i testsrc2=size=1280x720:rate=30 -t 10 -c:v libx264 -f null -"},
	{"ffmpeg x265", "ffmpeg", "ffmpeg -loglevel error -f lavfi -i testsrc2=size=1280x720:rate=30 -t 5 -c:v libx265 -f null -"},
	{"xz", "xz", "head -c 64M /dev/urandom | xz -9 -T2 >/dev/null"},
	{"zstd", "zstd", "head -c 256M /dev/urandom | zstd -19 -T2 >/dev/null"},
	{"7z", "7z", "7z b -mmt2 1"},
	{"bzip2", "bzip2", "head -c 64M /dev/urandom | bzip2 -9 >/dev/null"},
	{"gcc", "gcc", "cd $D && for i in $(seq 200); do echo \"double f$i(double x){double s=0;for(int i=0;i<1000;i++)s+=x*i/($i+s);return s;}\"; done >x.c && for i in $(seq 10); do gcc -O3 -march=native -c x.c; done"},
	{"go build", "go", "cd $D && HOME=$D GOCACHE=$D/gocache go build -o /dev/null std"},
	{"node", "node", "node -e 'let s=0;const t=Date.now();while(Date.now()-t<10000){for(let i=0;i<1e6;i++)s+=Math.sqrt(i)*Math.sin(i)}'"},
	{"node crypto", "node", "node -e 'const c=require(\"crypto\");const t=Date.now();while(Date.now()-t<10000)c.scryptSync(\"a\",\"salt\",32,{N:16384,r:8,p:1,maxmem:1e9})'"},
	{"node WebAssembly", "node", "node -e 'const b=Uint8Array.from([0,97,115,109,1,0,0,0,1,6,1,96,1,127,1,127,3,2,1,0,7,5,1,1,102,0,0,10,32,1,30,1,1,127,3,64,32,1,32,0,106,65,3,108,33,1,32,0,65,1,107,34,0,13,0,11,32,1,11]);try{const m=new WebAssembly.Module(b);const i=new WebAssembly.Instance(m);const t=Date.now();while(Date.now()-t<10000)i.exports.f(1e8)}catch(e){const t=Date.now();let s=1;while(Date.now()-t<10000)s=Math.imul(s,3)+1|0}'"},
	{"java", "java", "cd $D && echo 'public class M{public static void main(String[] a){double s=0;long t=System.currentTimeMillis();while(System.currentTimeMillis()-t<10000)for(int i=1;i<1000000;i++)s+=Math.log(i)*Math.exp(-s/1e9);System.out.println(s);}}' >M.java && java M.java"},
	{"python3", "python3", "python3 -c 'import time\nt=time.time()\nwhile time.time()-t<10: sum(i*i for i in range(100000))'"},
	{"python3 numpy", "/usr/bin/python3", "/usr/bin/python3 -c 'import numpy,time\nt=time.time()\nwhile time.time()-t<10: a=numpy.random.rand(600,600);a@a;numpy.fft.fft2(a);numpy.linalg.svd(a[:200,:200])'"},
	{"stress-ng cpu, all methods", "stress-ng", "stress-ng --cpu 2 --cpu-method all -t 15 -q"},
	{"stress-ng float, fp, matrix", "stress-ng", "stress-ng --cpu 1 --cpu-method float128 --matrix 1 -t 10 -q; stress-ng --fp 2 -t 8 -q"},
	{"stress-ng crypt, hash", "stress-ng", "stress-ng --crypt 1 --hash 1 -t 10 -q"},
	{"stress-ng vm, memcpy, stream", "stress-ng", "stress-ng --vm 1 --vm-bytes 256M --stream 1 -t 10 -q"},
	{"stress-ng mprotect, jit-like", "stress-ng", "stress-ng --mprotect 1 --vecmath 1 -t 10 -q"},
	{"sysbench cpu, memory", "sysbench", "sysbench cpu --threads=2 --time=8 run; sysbench memory --threads=2 --time=8 run"},
	{"john", "john", "john --test=1 --format=bcrypt; john --test=1 --format=sha512crypt; john --test=1"},
	{"povray", "povray", "cd $D && printf '#include \"colors.inc\"\\ncamera{location <0,2,-3> look_at <0,1,2>} sphere{<0,1,2>,2 texture{pigment{color Yellow} finish{reflection .3}}} light_source{<2,4,-3> color White} plane{y,-1 pigment{checker color Red color Blue}}' >s.pov && povray +Is.pov +O$D/o.png +W1600 +H1200 +A0.1 -D"},
	{"qemu TCG", "qemu-system-x86_64", "timeout 15 qemu-system-x86_64 -accel tcg -display none -m 64 -no-reboot -serial none -monitor none -boot n -net none"},
	{"sqlite", "sqlite3", "sqlite3 :memory: \"with recursive c(x) as (select 1 union all select x+1 from c where x<6000000) select sum(x*x),avg(sqrt(x)) from c\""},
	{"luajit", "luajit", "luajit -e 'local t=os.clock() local s=0 while os.clock()-t<10 do for i=1,1e6 do s=s+math.sin(i)*i%7 end end'"},
	{"ImageMagick", "convert", "convert -size 1500x1500 plasma: -blur 0x8 -rotate 30 -resize 60% /dev/null"},
	{"argon2", "argon2", "echo password | argon2 saltsaltsalt -id -t 20 -m 18 -p 2"},
	{"interval arithmetic", "gcc", "cd $D && cat >i.c <<'X'\n#include <fenv.h>\n#include <time.h>\n#include <stdio.h>\nint main(){volatile double lo=1,hi=1,x=1.0000001;time_t t=time(0);while(time(0)-t<10)for(int i=0;i<100000;i++){fesetround(FE_DOWNWARD);lo=lo*x/1.0000001;fesetround(FE_UPWARD);hi=hi*x/1.0000001;}printf(\"%g %g\\n\",lo,hi);}\nX\ngcc -O1 -frounding-math i.c -o i -lm && ./i"},
	{"all rounding modes, a library's test-suite", "gcc", "cd $D && cat >r.c <<'X'\n#include <fenv.h>\n#include <math.h>\n#include <time.h>\n#include <stdio.h>\nint main(){int m[]={FE_TONEAREST,FE_DOWNWARD,FE_UPWARD,FE_TOWARDZERO};volatile double s=0;time_t t=time(0);while(time(0)-t<10)for(int k=0;k<4;k++){fesetround(m[k]);for(int i=1;i<2000;i++)s+=sin(i)*exp(1.0/i);}printf(\"%g\\n\",s);}\nX\ngcc -O1 -frounding-math r.c -o r -lm && ./r"},
	{"fast-math", "gcc", "cd $D && cat >f.c <<'X'\n#include <math.h>\n#include <time.h>\n#include <stdio.h>\nint main(){volatile float s=0;time_t t=time(0);while(time(0)-t<10)for(int i=1;i<100000;i++)s+=sinf(i)*sqrtf(i);printf(\"%g\\n\",s);}\nX\ngcc -Ofast -march=native f.c -o f -lm && ./f"},
	{"all rounding modes with flush-to-zero, a process for each test", "gcc", "cd $D && cat >z.c <<'X'\n#include <math.h>\n#include <stdio.h>\n#include <sys/wait.h>\n#include <time.h>\n#include <unistd.h>\n#include <xmmintrin.h>\nint main(){int n;time_t t=time(0);for(n=0;time(0)-t<10;n++){if(fork()==0){volatile double s=0;clock_t c=clock();while(clock()-c<CLOCKS_PER_SEC*0.6)for(int k=0;k<4;k++){_mm_setcsr(0x9fc0|k<<13);for(int i=1;i<300;i++)s+=sin(i)*exp(1.0/i);}_exit(0);}wait(0);}printf(\"%d\\n\",n);}\nX\ngcc -O1 -frounding-math z.c -o z -lm && ./z"},
	{"openssl AES by tables", "openssl", "OPENSSL_ia32cap='~0x200020200000000' openssl speed -seconds 1 -multi 2 aes-256-cbc aes-128-cbc"},
	{"short programs one after another", "python3", "cd $D && for i in $(seq 15); do python3 -c 'import hashlib\nfor i in range(400000): hashlib.sha256(b\"x%d\" % i).digest()'; head -c 60M /dev/zero | sha512sum; head -c 8M /dev/urandom | gzip -9 | wc -c; done"},
	{"perl", "perl", "perl -e '$t=time;while(time-$t<10){$s+=sqrt($_)*sin($_) for 1..100000}'"},
	{"gzip", "gzip", "head -c 256M /dev/urandom | gzip -9 >/dev/null"},
	{"git gc", "git", "cd $D && rm -rf g && git init -q g && cd g && for i in $(seq 30); do head -c 300k /dev/urandom | base64 >f$i; done && git add . && git -c user.name=b -c user.email=b@example.org commit -qm x && git gc --aggressive -q"},
	{"postgres pgbench", "pgbench", pgbench},
	{"gpg S2K", "gpg", "cd $D && for i in $(seq 20); do echo x | gpg --batch --homedir $D --pinentry-mode loopback --passphrase x --s2k-count 65011712 -c >/dev/null 2>&1; done"},
}

const pgbench = `set -e; B=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1); mkdir -p $D/pg; chown nobody $D $D/pg; chmod 755 $D
as() { setpriv --reuid nobody --regid nogroup --clear-groups -- "$@"; }
[ -f $D/pg/PG_VERSION ] || as $B/initdb -D $D/pg -A trust >/dev/null
as $B/postgres -D $D/pg -k $D -c listen_addresses= >/dev/null 2>&1 & P=$!; trap "kill $P" EXIT
sleep 2; as $B/pgbench -h $D -U nobody -i -s 5 postgres >/dev/null 2>&1; as $B/pgbench -h $D -U nobody -c 8 -j 2 -T 10 postgres >/dev/null 2>&1`

// honest runs every program that is installed and reports what the agent says of it at medium or worse.
func (b *bench) honest(ctx context.Context) error {
	a, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer a.stop()
	fmt.Fprintln(b.out, "| honest program | findings of medium or worse |\n|---|---|")
	ran, alarms, elsewhere := 0, 0, 0
	var absent []string
	for i, h := range honestPrograms {
		if !strings.Contains(h.name, b.only) || ctx.Err() != nil {
			continue
		}
		if _, err := exec.LookPath(h.need); err != nil {
			absent = append(absent, h.name)
			continue
		}
		from := a.count()
		dir := filepath.Join(b.dir, fmt.Sprint("honest", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		root, err := runFor(ctx, h.sh, dir)
		if err != nil {
			fmt.Fprintf(b.out, "| %s | could not run: %v |\n", h.name, err)
			continue
		}
		time.Sleep(time.Second)
		ran++
		bad, others := a.since(from, root, dir)
		elsewhere += len(others)
		var text []string
		for _, l := range bad {
			text = append(text, fmt.Sprintf("%s (%s) about %s", l.Rule, l.Severity, l.Subject.Name))
		}
		alarms += len(bad)
		fmt.Fprintf(b.out, "| %s | %d %s |\n", h.name, len(bad), strings.Join(text, "; "))
	}
	fmt.Fprintf(b.out, "\n%d programs ran, %d findings of medium or worse; %d about processes that were none of theirs; not installed: %s\n", ran, alarms, elsewhere, strings.Join(absent, ", "))
	return nil
}

// runFor repeats script for honestFor, below one process whose pid it returns, and then ends all of its processes. A script
// that fails at once is an error.
func runFor(ctx context.Context, script, dir string) (root int, err error) {
	ctx, cancel := context.WithTimeout(ctx, honestFor)
	defer cancel()
	// The loop is the shell's, so that all runs have one ancestor and session.
	loop := "while :; do ( eval \"$1\" ) || { [ $? -gt 128 ] || sleep 0.2; }; n=$((n+1)); [ $n -gt 50 ] && exit 1; done"
	cmd := exec.CommandContext(ctx, "sh", "-c", loop, "sh", script)
	cmd.Env = append(os.Environ(), "D="+dir, "HOME="+dir)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if killErr := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); killErr != nil && !errors.Is(killErr, syscall.ESRCH) {
		return 0, killErr
	}
	if time.Since(start) < honestFor/2 {
		return 0, fmt.Errorf("ended after %s: %w: %.200s", time.Since(start), err, strings.ReplaceAll(string(out), "\n", " "))
	}
	return cmd.Process.Pid, nil
}
