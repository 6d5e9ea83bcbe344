package sdn

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

type object = map[string]any

// controller is a server that keeps rules as the real one of its kind does, and may misbehave.
type controller struct {
	t      testing.TB
	mu     sync.Mutex
	rules  map[string]object
	next   int
	writes int // requests that changed, or should have changed, something
	auth   string
	// What goes wrong, each so many times.
	errors500, hangs, lost int
	forgets, lies, keeps   bool // accepts without doing; shows another action; does not release
	hang                   time.Duration
}

func (c *controller) wrong(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case c.auth != "" && r.Header.Get("Authorization") != c.auth:
		http.Error(w, "who are you? not "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		return true
	case c.errors500 > 0:
		c.errors500--
		http.Error(w, "\x1b[31minternal error", http.StatusInternalServerError)
		return true
	case c.hangs > 0:
		c.hangs--
		c.mu.Unlock()
		time.Sleep(c.hang)
		c.mu.Lock()
		return true
	}
	return false
}

func (c *controller) body(r *http.Request) object {
	var o object
	if r.Header.Get("Content-Type") != "application/json" {
		c.t.Errorf("%s %s: content type %q", r.Method, r.URL, r.Header.Get("Content-Type"))
	}
	d := json.NewDecoder(r.Body)
	d.UseNumber()
	if err := d.Decode(&o); err != nil {
		c.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	return o
}

func (c *controller) put(id string, o object) {
	if !c.forgets {
		c.rules[id] = o
	}
}

func (c *controller) del(w http.ResponseWriter, id string, ok int) {
	c.writes++
	if _, there := c.rules[id]; !there {
		http.Error(w, "no such rule", http.StatusNotFound)
		return
	}
	if !c.keeps {
		delete(c.rules, id)
	}
	w.WriteHeader(ok)
}

func (c *controller) all() []object {
	list := []object{{"id": "0", "name": "another", "match": object{"ipv4_src": "192.0.2.9/32"}, "action": "drop"}}
	for _, o := range c.rules {
		list = append(list, o)
	}
	return list
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// serve runs a controller of the kind of preset.
func serve(t testing.TB, preset string) (*controller, *httptest.Server) {
	c := &controller{t: t, rules: map[string]object{}, hang: time.Second}
	mux := http.NewServeMux()
	handle := func(pattern string, f func(w http.ResponseWriter, r *http.Request)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.wrong(w, r) {
				return
			}
			if c.lost > 0 && r.Method != http.MethodGet { // done, but the answer does not arrive
				c.lost--
				f(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			f(w, r)
		})
	}
	switch preset {
	case "generic":
		c.generic(handle)
	case "onos":
		c.onos(handle)
	case "ryu":
		c.ryu(handle)
	case "kubernetes":
		c.kubernetes(handle)
	case "opendaylight":
		c.opendaylight(handle, "/rests/data/opendaylight-inventory:nodes/node=openflow:1/flow-node-inventory:table=0/{id}")
	case "opendaylight-restconf":
		c.opendaylight(handle, "/restconf/config/opendaylight-inventory:nodes/node/openflow:1/flow-node-inventory:table/0/flow/{id}")
	}
	s := httptest.NewUnstartedServer(mux)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	return c, s
}

type register = func(string, func(http.ResponseWriter, *http.Request))

func (c *controller) generic(handle register) {
	handle("POST /api/v1/flow-rules", func(w http.ResponseWriter, r *http.Request) {
		c.writes++
		o := c.body(r)
		c.next++
		o["id"] = c.next
		if c.lies {
			o["action"] = "allow"
		}
		c.put(strconv.Itoa(c.next), o)
		answer(w, http.StatusCreated, o)
	})
	handle("GET /api/v1/flow-rules", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, c.all()) })
	handle("DELETE /api/v1/flow-rules/{id}", func(w http.ResponseWriter, r *http.Request) { c.del(w, r.PathValue("id"), http.StatusNoContent) })
}

// onos names flows itself, and fills in an instruction where there is none. A flow is pending until the switch has it.
func (c *controller) onos(handle register) {
	handle("POST /onos/v1/flows/{device}", func(w http.ResponseWriter, r *http.Request) {
		c.writes++
		o := c.body(r)
		if r.PathValue("device") != "of:0000000000000001" || o["deviceId"] != "of:0000000000000001" {
			http.Error(w, "no such device", http.StatusNotFound)
			return
		}
		// The id is made of what the flow says: the same flow twice is one.
		h := fnv.New32()
		fmt.Fprint(h, o["selector"], o["priority"], o["tableId"], r.URL.Query())
		id := strconv.FormatUint(49539596600000000+uint64(h.Sum32()), 10)
		o["id"], o["state"], o["appId"] = id, "PENDING_ADD", r.URL.Query().Get("appId")
		o["treatment"] = object{"instructions": []object{{"type": "NOACTION"}}, "deferred": []object{}}
		if c.lies {
			o["treatment"] = object{"instructions": []object{{"type": "OUTPUT", "port": "1"}}, "deferred": []object{}}
		}
		c.put(id, o)
		w.Header().Set("Location", r.URL.Path+"/"+id)
		w.WriteHeader(http.StatusCreated)
	})
	handle("GET /onos/v1/flows/{device}", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, object{"flows": c.all()})
		for _, o := range c.rules {
			o["state"] = "ADDED"
		}
	})
	handle("DELETE /onos/v1/flows/{device}/{id}", func(w http.ResponseWriter, r *http.Request) { c.del(w, r.PathValue("id"), http.StatusNoContent) })
}

func (c *controller) opendaylight(handle register, path string) {
	id := func(r *http.Request) string { // RFC 8040 has the key behind the list's name
		key, named := strings.CutPrefix(r.PathValue("id"), "flow=")
		if named != strings.Contains(path, "table=0") {
			c.t.Errorf("path %s", r.URL)
		}
		return key
	}
	handle("PUT "+path, func(w http.ResponseWriter, r *http.Request) {
		c.writes++
		list, ok := c.body(r)["flow-node-inventory:flow"].([]any)
		if !ok || len(list) != 1 || list[0].(object)["id"] != id(r) {
			http.Error(w, `{"errors":{"error":[{"error-tag":"malformed-message"}]}}`, http.StatusBadRequest)
			return
		}
		o := list[0].(object)
		if c.lies { // narrower than what was asked for
			o["match"].(object)["ipv4-destination"] = "192.0.2.1/32"
		}
		c.put(id(r), o)
		w.WriteHeader(http.StatusCreated)
	})
	handle("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		o, ok := c.rules[id(r)]
		if !ok {
			answer(w, http.StatusNotFound, object{"errors": object{"error": []object{{"error-tag": "data-missing"}}}})
			return
		}
		answer(w, 200, object{"flow-node-inventory:flow": []object{o}})
	})
	handle("DELETE "+path, func(w http.ResponseWriter, r *http.Request) { c.del(w, id(r), http.StatusNoContent) })
}

// ryu says 200 to all, with nothing in it.
func (c *controller) ryu(handle register) {
	key := func(o object) string { return fmt.Sprint(o["dpid"], o["table_id"], o["priority"], o["match"]) }
	handle("POST /stats/flowentry/add", func(_ http.ResponseWriter, r *http.Request) {
		c.writes++
		o := c.body(r)
		if c.lies {
			o["actions"] = []string{"OUTPUT:1"}
		}
		c.put(key(o), o)
	})
	handle("POST /stats/flowentry/delete_strict", func(_ http.ResponseWriter, r *http.Request) {
		c.writes++
		if o := c.body(r); !c.keeps {
			delete(c.rules, key(o))
		}
	})
	handle("GET /stats/flow/{dpid}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, object{r.PathValue("dpid"): c.all()})
	})
}

func (c *controller) kubernetes(handle register) {
	const path = "/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies"
	handle("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		c.writes++
		o := c.body(r)
		name := o["metadata"].(object)["name"].(string)
		if name != strings.ToLower(name) || len(name) > 63 {
			http.Error(w, "not a DNS label", http.StatusUnprocessableEntity)
			return
		}
		if c.rules[name] != nil {
			answer(w, http.StatusConflict, object{"reason": "AlreadyExists"})
			return
		}
		if c.lies {
			o["spec"].(object)["egress"] = []any{object{}}
		}
		c.put(name, o)
		answer(w, http.StatusCreated, o)
	})
	handle("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, object{"kind": "NetworkPolicyList", "items": c.all()})
	})
	handle("DELETE "+path+"/{name}", func(w http.ResponseWriter, r *http.Request) { c.del(w, r.PathValue("name"), 200) })
}
