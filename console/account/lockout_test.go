package account

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/minewarden/minewarden/console/access"
)

// wrong tries a wrong password, and returns how long to wait if it was not looked at.
func wrong(t *testing.T, s *Service, v Visit, name string) time.Duration {
	t.Helper()
	_, err := s.Password(t.Context(), v, name, "this is wrong")
	var locked *Locked
	if errors.As(err, &locked) {
		if !errors.Is(err, access.ErrTooMany) {
			t.Errorf("%v is not %v", err, access.ErrTooMany)
		}
		return locked.Wait
	}
	wants(t, err, ErrWrong)
	return 0
}

func TestLockOutIsTheSameForNamesThatNobodyHas(t *testing.T) {
	s, c, _ := with(t)
	var got [3][]time.Duration
	for i, name := range []string{"ada", "nobody-has-this", "not a name\x1b"} {
		v := Visit{Address: fmt.Sprint("10.0.0.", i)}
		for range 14 {
			wait := wrong(t, s, v, name)
			got[i] = append(got[i], wait)
			c.add(wait)
		}
	}
	for i := range got {
		if fmt.Sprint(got[i]) != fmt.Sprint(got[0]) {
			t.Errorf("waits %v for one name, %v for another", got[i], got[0])
		}
	}
	if got[0][byName.free] == 0 || got[0][byName.free-1] != 0 {
		t.Errorf("waits %v, want the first after %d failures", got[0], byName.free)
	}
}

func TestLockOutGrowsEndsAndIsUndone(t *testing.T) {
	s, c, b := with(t)
	v := Visit{Address: "10.0.0.1"}
	var last time.Duration
	for i := range 60 {
		v.Address = fmt.Sprint("10.0.", i, ".1") // a crowd
		wait := wrong(t, s, v, "ada")
		if wait > byName.most {
			t.Fatalf("wait %v, want at most %v", wait, byName.most)
		}
		if wait > 0 {
			// Asking again during the wait does not make it longer.
			if again := wrong(t, s, v, "ada"); again > wait {
				t.Fatalf("%v, then %v", wait, again)
			}
			_, err := s.Password(t.Context(), v, "ada", good)
			wants(t, err, access.ErrTooMany)
		}
		last = max(last, wait)
		c.add(wait)
	}
	if last != byName.most {
		t.Errorf("longest wait %v, want %v", last, byName.most)
	}
	wrong(t, s, v, "ada")
	if a := must(s.Account(t.Context(), "ada"))(t); a.Locked == nil {
		t.Error("the account is not shown as locked")
	}
	if err := s.Unlock(t.Context(), root, "ada"); err != nil {
		t.Fatal(err)
	}
	b.all = nil
	if _, err := s.Password(t.Context(), Visit{Address: "10.9.9.9"}, "ada", good); err != nil {
		t.Errorf("unlocked by an admin: %v", err)
	}
}

// TestNobodyCanLockOthersOut guesses without end, from the address that the owner has too.
func TestNobodyCanLockOthersOut(t *testing.T) {
	s, c, _ := with(t)
	in := must(s.Password(t.Context(), here, "ada", good))(t)
	for range 200 {
		wrong(t, s, here, "ada")
		c.add(time.Second)
	}
	_, err := s.Password(t.Context(), here, "ada", good)
	wants(t, err, access.ErrTooMany)
	// A browser that logged in before has a lane of its own, which others cannot fill.
	if _, err := s.Password(t.Context(), Visit{Address: here.Address, Device: in.Device}, "ada", good); err != nil {
		t.Errorf("the owner's browser: %v", err)
	}
	// A browser's cookie of one account is worth nothing for another, nor is one that was altered.
	for _, device := range []string{s.device("eve"), in.Device + "x", "..", "a.b.c"} {
		_, err := s.Password(t.Context(), Visit{Address: here.Address, Device: device}, "ada", good)
		wants(t, err, access.ErrTooMany)
	}
	// A stolen one is no way round the count either.
	stolen := Visit{Address: "10.0.0.9", Device: in.Device}
	locked := false
	for range byDevice.free + 2 {
		locked = wrong(t, s, stolen, "ada") > 0 || locked
	}
	if !locked {
		t.Error("a known browser may guess without end")
	}
	// A link of root lets in, whatever others do.
	l := must(s.Enter(t.Context(), root, "ada"))(t)
	if _, err := s.Link(t.Context(), here, l.Token); err != nil {
		t.Errorf("by link: %v", err)
	}
	// After a while without guesses the address is free again.
	c.add(byAddress.most)
	if _, err := s.Password(t.Context(), here, "root-admin", good); err != nil {
		t.Errorf("later: %v", err)
	}
}

func TestAnAddressThatGuessesAtManyNamesWaits(t *testing.T) {
	s, c, _ := with(t)
	v := Visit{Address: "10.0.0.1"}
	waited := false
	for i := range byAddress.free + 5 {
		waited = wrong(t, s, v, fmt.Sprint("name", i)) > 0
		c.add(time.Millisecond)
	}
	if !waited {
		t.Error("one address may try all names")
	}
	// Its owner has an account, and logs in between: that does not wipe its failures.
	c.add(time.Hour / 2)
	if _, err := s.Password(t.Context(), v, "ada", good); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		waited = wrong(t, s, v, fmt.Sprint("other", i)) > 0
	}
	if !waited {
		t.Error("a login of one's own wiped the failures")
	}
	if _, err := s.Password(t.Context(), Visit{Address: "10.0.0.2"}, "ada", good); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
}

// TestFailuresThatRunAtOnceAreCounted starts them before any has failed.
func TestFailuresThatRunAtOnceAreCounted(t *testing.T) {
	c := &clock{t: time.Unix(1e9, 0)}
	l := &lockouts{now: c.now}
	let := 0
	for range 100 {
		if _, err := l.begin(attempt{byName, "ada"}); err == nil {
			let++
		}
	}
	if let != byName.free {
		t.Errorf("%d at once were let through, want %d", let, byName.free)
	}
}

func TestLanesAndRatesAreBounded(t *testing.T) {
	c := &clock{t: time.Unix(1e9, 0)}
	l := &lockouts{now: c.now}
	for range byName.free {
		if _, err := l.begin(attempt{byName, "ada"}); err != nil {
			t.Fatal(err)
		}
	}
	r := &limiter{now: c.now}
	for i := range maxLanes + 500 {
		if _, err := l.begin(attempt{byName, fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		if err := r.allow(fmt.Sprint(i), 1, 5); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.all) > maxLanes || len(r.due) > maxRates {
		t.Errorf("%d lanes, %d rates", len(l.all), len(r.due))
	}
	if _, err := l.begin(attempt{byName, "ada"}); err == nil {
		t.Error("the lane that was guessed at was pushed out")
	}
}

func TestRates(t *testing.T) {
	c := &clock{t: time.Unix(1e9, 0)}
	r := &limiter{now: c.now}
	let := func(n int) (ok int) {
		for range n {
			if r.allow("x", 10, 30) == nil {
				ok++
			}
		}
		return ok
	}
	if got := let(100); got != 30 {
		t.Errorf("%d in a burst, want 30", got)
	}
	c.add(time.Second)
	if got := let(100); got != 10 {
		t.Errorf("%d a second later, want 10", got)
	}
	c.add(time.Hour)
	if got := let(100); got != 30 {
		t.Errorf("%d after an hour, want 30", got)
	}
}
