package consul

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/audittest"
)

func start(t *testing.T, more string) string {
	t.Helper()
	bin := audittest.Program(t, "consul")
	p := audittest.Ports(t, 4)
	conf := audittest.Write(t, "agent.hcl", fmt.Sprintf("disable_update_check = true\nports {\n  http = %d\n  server = %d\n  serf_lan = %d\n  serf_wan = %d\n  dns = -1\n  grpc = -1\n  grpc_tls = -1\n}\n%s", p[0], p[1], p[2], p[3], more))
	url := fmt.Sprintf("http://127.0.0.1:%d", p[0])
	audittest.Run(t, url+"/v1/catalog/nodes", []int{200, 403}, nil, bin, "agent", "-dev", "-bind", "127.0.0.1", "-config-file", conf)
	return url
}

func TestRealInsecure(t *testing.T) {
	url := start(t, "enable_script_checks = true\n")
	v := audit(t, url, mw.ServiceAccess{})
	audittest.Want(t, v, map[string]mw.Status{ruleACL: mw.StatusFail, ruleRemote: mw.StatusFail, ruleExec: mw.StatusFail, ruleTLSHTTP: mw.StatusFail})
	resp, err := http.Get(url + "/v1/agent/checks")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var checks map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&checks); err != nil || len(checks) != 0 {
		t.Errorf("the audit left checks: %v, %v", checks, err)
	}
}

// TestRealAllow holds that access control whose default is allow is no pass.
func TestRealAllow(t *testing.T) {
	url := start(t, "enable_script_checks = true\nacl {\n  enabled = true\n  default_policy = \"allow\"\n}\n")
	audittest.Want(t, audit(t, url, mw.ServiceAccess{}), map[string]mw.Status{ruleACL: mw.StatusPass, ruleExec: mw.StatusFail})
}

func TestRealDeny(t *testing.T) {
	url := start(t, "acl {\n  enabled = true\n  default_policy = \"deny\"\n}\n")
	v := audit(t, url, mw.ServiceAccess{})
	audittest.Want(t, v, map[string]mw.Status{ruleACL: mw.StatusPass})
	for _, c := range v.Checks {
		if c.Rule == ruleExec && c.Finding != nil {
			t.Errorf("%+v", c)
		}
	}
}
