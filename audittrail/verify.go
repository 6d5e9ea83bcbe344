package audittrail

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A Check says what Verify is to look at. The zero Check means the whole trail.
type Check struct {
	From  uint64 // begin with this entry, whatever came before; 0: the first
	Holds string // SEQ:HASH, noted elsewhere: this entry must be in the trail
}

// A Report is what Verify found.
type Report struct {
	Entries  int    `json:"entries"`            // that are whole, up to the break
	Files    int    `json:"files"`              // that were read
	Last     uint64 `json:"last"`               // number of the last whole entry
	Hash     string `json:"hash"`               // its hash: to note elsewhere
	Unsigned int    `json:"unsigned,omitempty"` // entries after the signed head: a writer was killed
	Torn     int    `json:"torn,omitempty"`     // bytes of an unfinished line at the end: a writer was killed
	Broken   *Break `json:"broken,omitempty"`
}

// A Break is the first place where the trail is not what was written.
type Break struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Seq    uint64 `json:"seq,omitempty"` // where an entry can be named
	Reason string `json:"reason"`
}

func (b *Break) String() string {
	s := b.File
	if b.Line > 0 {
		s += ", line " + strconv.Itoa(b.Line)
	}
	if b.Seq > 0 {
		s += ", entry " + number(b.Seq)
	}
	return s + ": " + b.Reason
}

// Verify checks the trail of dir. The error is why it could not look; what is wrong with the trail is in the Report.
func Verify(dir string, c Check) (r Report, err error) {
	var holds head
	if c.Holds != "" {
		seq, hash, ok := strings.Cut(c.Holds, ":")
		holds.Seq, err = strconv.ParseUint(seq, 10, 64)
		if !ok || err != nil || holds.Seq == 0 || len(hash) != len(zero) {
			return r, fmt.Errorf("%q is not SEQ:HASH, as 'audit-trail verify' prints it", c.Holds)
		}
		holds.Hash = hash
	}
	if c.From <= 1 {
		c.From = 0
	}
	if holds.Seq > 0 && holds.Seq < c.From {
		return r, fmt.Errorf("entry %d is before %d, where the check is to begin", holds.Seq, c.From)
	}
	s, err := take(dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	v := verifier{Report: &r, check: c, holds: holds}
	if s.key == nil {
		r.Broken = &Break{File: keyName, Reason: s.err.Error()}
	} else if s.head == nil {
		r.Broken = &Break{File: headName, Reason: "it is missing"}
	} else {
		signed, _, wrong := readHead(s.head, s.key)
		v.signed = signed
		if wrong != nil {
			r.Broken = &Break{File: headName, Reason: wrong.Error()}
		}
	}
	for i, f := range s.files {
		if !v.file(f, i == len(s.files)-1) {
			break
		}
	}
	if r.Broken == nil {
		v.end(hex.EncodeToString(s.key))
	}
	return r, nil
}

type verifier struct {
	*Report
	check  Check
	signed head
	holds  head
	key    string // as the trail itself said last
}

// fail keeps the break that the chain shows rather than one of the head or the key: it names an entry.
func (v *verifier) fail(b Break) bool {
	if v.Broken == nil || v.Broken.Seq == 0 {
		v.Broken = &b
	}
	return false
}

func (v *verifier) file(f file, last bool) bool {
	v.Files++
	in := newLines(io.NewSectionReader(f.f, 0, f.size))
	for line := 1; ; line++ {
		e, n, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			if line == 1 && !last {
				return v.fail(Break{File: f.name, Seq: v.Last + 1, Reason: "it is empty"})
			}
			return true
		case errors.Is(err, errTorn) && last:
			v.Torn = n
			return true
		case err == nil && v.Last == 0 && v.check.From > 0 && e.Seq <= v.check.From:
			if e.Seq < v.check.From {
				v.announced(&e)
				continue
			}
			err = v.known(&e)
		case err != nil && v.Last == 0 && v.check.From > 0:
			continue // before the entry that was asked for
		case err == nil:
			hash := v.Hash
			if v.Last == 0 {
				hash = zero
			}
			if err = e.follows(v.Last, hash); err == nil {
				err = v.known(&e)
			}
		}
		if err != nil {
			return v.fail(Break{File: f.name, Line: line, Seq: v.Last + 1, Reason: err.Error()})
		}
		v.took(&e)
	}
}

func (v *verifier) took(e *Entry) {
	v.Entries++
	v.Last, v.Hash = e.Seq, e.Hash
	v.announced(e)
	if e.Seq > v.signed.Seq {
		v.Unsigned++
	}
}

// announced keeps the key that the trail names.
func (v *verifier) announced(e *Entry) {
	if k := e.Detail["key"]; k != "" && e.Who == trailItself && (e.What == whatBegun || e.What == whatKey || e.What == whatBroken) {
		v.key = k
	}
}

// known compares an entry with what was signed, and with what was noted elsewhere.
func (v *verifier) known(e *Entry) error {
	for _, h := range []struct {
		head
		where string
	}{{v.signed, "signed as the last"}, {v.holds, "noted elsewhere"}} {
		if h.Seq == e.Seq && h.Hash != e.Hash {
			return fmt.Errorf("is not the one that was %s", h.where)
		}
	}
	return nil
}

// end compares what the chain ended with.
func (v *verifier) end(key string) {
	switch {
	case v.check.From > v.Last:
		v.fail(Break{File: logName, Seq: v.check.From, Reason: "it is missing"})
	case v.signed.Seq > v.Last:
		v.fail(Break{File: logName, Seq: v.Last + 1, Reason: fmt.Sprintf("entries %d to %d are missing: the signed head counts them", v.Last+1, v.signed.Seq)})
	case v.holds.Seq > v.Last:
		v.fail(Break{File: logName, Seq: v.Last + 1, Reason: fmt.Sprintf("entries %d to %d are missing: one of them was noted elsewhere", v.Last+1, v.holds.Seq)})
	case v.key != key:
		v.fail(Break{File: keyName, Reason: "it is not the key that the trail names"})
	}
}
