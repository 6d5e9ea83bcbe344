// Package audittrail keeps what was changed, by whom and why, in an append-only file whose entries are chained by hash.
package audittrail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of an entry. What is longer is cut, and says so: a long reason is no reason to refuse a change.
const (
	maxText   = 4 << 10 // bytes of one text
	maxDetail = 32      // keys of Detail
	maxLine   = 2 << 20 // bytes of a line: 32 keys and values of the largest size, each byte escaped, are less
)

// zero is what the first entry names as the one before it.
var zero = strings.Repeat("0", 2*sha256.Size)

// An Entry is one change. Who changes something fills in the upper part; Append sets the rest.
type Entry struct {
	Seq    uint64            `json:"seq"`              // 1, 2, 3 …: the order, whatever the clock does
	Time   time.Time         `json:"time"`             // when it was written, UTC
	Who    string            `json:"who"`              // an account, "user NAME" of this machine, or "policy"
	Via    string            `json:"via,omitempty"`    // console, token NAME, cli, agent …
	What   string            `json:"what"`             // noun.verb, such as incident.close
	Target string            `json:"target,omitempty"` // id of what was changed
	Why    string            `json:"why,omitempty"`    // in the words of who did it
	Detail map[string]string `json:"detail,omitempty"`
	Prev   string            `json:"prev"` // hash of the entry before
	Hash   string            `json:"hash"` // see README.md
}

// hashKey begins the part of a line that is not hashed.
const hashKey = `,"hash":"`

// seal fills in the hash and returns the line, without its end.
func (e *Entry) seal() ([]byte, error) {
	e.Hash = ""
	line, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode an entry of the audit trail: %w", err)
	}
	body := line[:len(line)-len(hashKey)-len(`"}`)]
	sum := sha256.Sum256(body)
	e.Hash = hex.EncodeToString(sum[:])
	return append(append(body, hashKey...), e.Hash+`"}`...), nil
}

// tidy cuts what is too long and writes bytes that are no text as \xNN.
func (e Entry) tidy() Entry {
	for _, s := range []*string{&e.Who, &e.Via, &e.What, &e.Target, &e.Why} {
		*s = tidy(*s)
	}
	if len(e.Detail) == 0 {
		e.Detail = nil
		return e
	}
	detail := make(map[string]string, min(len(e.Detail), maxDetail+1))
	for i, k := range slices.Sorted(maps.Keys(e.Detail)) {
		if i == maxDetail {
			detail["more"] = strconv.Itoa(len(e.Detail)-maxDetail) + " not kept"
			break
		}
		detail[tidy(k)] = tidy(e.Detail[k])
	}
	e.Detail = detail
	return e
}

func tidy(s string) string {
	if !utf8.ValidString(s) {
		var b strings.Builder
		for len(s) > 0 && b.Len() <= maxText {
			r, n := utf8.DecodeRuneInString(s)
			if r == utf8.RuneError && n == 1 {
				fmt.Fprintf(&b, `\x%02x`, s[0])
			} else {
				b.WriteString(s[:n])
			}
			s = s[n:]
		}
		s = b.String() + s
	}
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.ToValidUTF8(s[:cut], "") + fmt.Sprintf(" … (%d bytes more)", len(s)-cut)
}

// parse reads one line, without its end, and checks all that the line alone can show.
func parse(line []byte) (Entry, error) {
	var e Entry
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return e, fmt.Errorf("is no entry: %v", err) //nolint:errorlint // not wrapped: a blank line's io.EOF is not the file's
	}
	said := e.Hash
	again, err := e.seal()
	switch {
	case err != nil:
		return e, err
	case e.Hash != said:
		e.Hash = said
		return e, errors.New("does not have the content that its hash was made of")
	case !bytes.Equal(again, line):
		return e, errors.New("is not written as entries are")
	}
	return e, nil
}

// follows checks that e comes right after an entry of number seq and that hash.
func (e *Entry) follows(seq uint64, hash string) error {
	switch {
	case e.Seq == seq+1 && e.Prev == hash:
		return nil
	case e.Seq == seq+1:
		return fmt.Errorf("does not follow entry %d: another one was there when it was written", seq)
	case e.Seq > seq+1:
		return fmt.Errorf("entries %d to %d before it are missing", seq+1, e.Seq-1)
	}
	return fmt.Errorf("is out of order: entry %d comes before it", seq)
}
