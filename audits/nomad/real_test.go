package nomad

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/audittest"
)

func start(t *testing.T, more string) string {
	t.Helper()
	bin := audittest.Program(t, "nomad")
	p := audittest.Ports(t, 3)
	conf := audittest.Write(t, "agent.hcl", fmt.Sprintf("bind_addr = \"127.0.0.1\"\ndisable_update_check = true\nports {\n  http = %d\n  rpc = %d\n  serf = %d\n}\n%s", p[0], p[1], p[2], more))
	url := fmt.Sprintf("http://127.0.0.1:%d", p[0])
	// A plan needs a leader.
	audittest.Run(t, url+"/v1/status/leader", []int{200}, nil, bin, "agent", "-dev", "-config", conf)
	return url
}

func ask(t *testing.T, method, url, token, body string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("X-Nomad-Token", token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s", method, url, resp.Status)
	}
	if into != nil {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRealInsecure(t *testing.T) {
	url := start(t, "")
	v := audit(t, url, mw.ServiceAccess{})
	audittest.Want(t, v, map[string]mw.Status{ruleACL: mw.StatusFail, ruleSubmit: mw.StatusFail, ruleRead: mw.StatusFail, ruleTLSHTTP: mw.StatusFail})
	var jobs []any
	if ask(t, "GET", url+"/v1/jobs", "", "", &jobs); len(jobs) != 0 {
		t.Errorf("the audit left jobs: %v", jobs)
	}
}

// TestRealACL holds that access control which is on is a pass only until the anonymous policy allows to submit.
func TestRealACL(t *testing.T) {
	url := start(t, "acl {\n  enabled = true\n}\n")
	audittest.Want(t, audit(t, url, mw.ServiceAccess{}), map[string]mw.Status{ruleACL: mw.StatusPass, ruleSubmit: mw.StatusPass, ruleRead: mw.StatusPass})
	var boot struct{ SecretID string }
	ask(t, "POST", url+"/v1/acl/bootstrap", "", "", &boot)
	ask(t, "POST", url+"/v1/acl/policy/anonymous", boot.SecretID, `{"Name":"anonymous","Rules":"namespace \"default\" { policy = \"write\" }"}`, nil)
	audittest.Want(t, audit(t, url, mw.ServiceAccess{}), map[string]mw.Status{ruleACL: mw.StatusPass, ruleSubmit: mw.StatusFail})
}
