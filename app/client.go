package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/responders/isolate"
	"github.com/minewarden/minewarden/responders/network"
)

const (
	// maxAnswer bounds one answer: an incident of the largest size is some MiB.
	maxAnswer = 64 << 20
	maxPage   = 500
)

// A client is the desk of a running agent: its API, through the control socket.
type client struct {
	path string
	http *http.Client
}

func newClient(data string) *client {
	path := filepath.Join(data, socketName)
	return &client{path: path, http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}}
}

func (c *client) alive() bool {
	conn, err := net.DialTimeout("unix", c.path, time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// send returns the answer of a request that succeeded; the caller closes its body.
func (c *client) send(ctx context.Context, method, path string, query url.Values, in any, who string) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+console.Prefix+path+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if who != "" {
		req.Header.Set(console.WhoHeader, who)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the running agent: %w", err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	var p struct {
		Detail string `json:"detail"`
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&p); err != nil || p.Detail == "" {
		p.Detail = resp.Status
	}
	for _, e := range p.Errors {
		p.Detail += "; " + e.Message
	}
	if resp.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("%s%w", strings.TrimSuffix(p.Detail, minewarden.ErrNotFound.Error()), minewarden.ErrNotFound)
	}
	return nil, errors.New(p.Detail)
}

func (c *client) call(ctx context.Context, method, path string, query url.Values, in, out any, who string) error {
	resp, err := c.send(ctx, method, path, query, in, who)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("answer of the running agent: %w", err)
	}
	return nil
}

func (c *client) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.call(ctx, http.MethodGet, path, query, nil, out, "")
}

func (c *client) post(ctx context.Context, path string, in, out any, who string) error {
	return c.call(ctx, http.MethodPost, path, nil, in, out, who)
}

// values are the parameters of a query, as the API names them.
func values(q minewarden.Query) url.Values {
	v := url.Values{}
	set := func(key, value string) {
		if value != "" {
			v.Set(key, value)
		}
	}
	var states []string
	for _, s := range q.States {
		states = append(states, string(s))
	}
	set("state", strings.Join(states, ","))
	if q.Severity > 0 {
		set("severity", q.Severity.String())
	}
	set("host", q.Host)
	set("rule", q.Rule)
	set("subject", q.Subject)
	set("text", q.Text)
	set("after", q.After)
	if !q.Since.IsZero() {
		set("since", q.Since.Format(time.RFC3339Nano))
	}
	if !q.Until.IsZero() {
		set("until", q.Until.Format(time.RFC3339Nano))
	}
	if q.Limit > 0 && q.Limit <= maxPage {
		set("limit", strconv.Itoa(q.Limit))
	} else {
		set("all", "true")
	}
	return v
}

func (c *client) Incidents(ctx context.Context, q minewarden.Query) ([]minewarden.Incident, error) {
	resp, err := c.send(ctx, http.MethodGet, "/incidents/export", values(q), nil, "")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var all []minewarden.Incident
	for dec := json.NewDecoder(resp.Body); q.Limit <= 0 || len(all) < q.Limit; {
		var inc minewarden.Incident
		if err := dec.Decode(&inc); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("answer of the running agent: %w", err)
		}
		all = append(all, inc)
	}
	return all, nil
}

func (c *client) Incident(ctx context.Context, id string) (out minewarden.Incident, err error) {
	err = c.get(ctx, "/incidents/"+url.PathEscape(id), nil, &out)
	return out, err
}

func (c *client) Plan(ctx context.Context, id string) ([]minewarden.Action, error) {
	var out struct{ Items []minewarden.Action }
	err := c.get(ctx, "/incidents/"+url.PathEscape(id)+"/plan", nil, &out)
	return out.Items, err
}

// Do asks for the action that a new plan still holds, if it touches nothing that a did not name.
func (c *client) Do(ctx context.Context, a minewarden.Action, who, why string) (out minewarden.Receipt, err error) {
	in := map[string]any{"responder": a.Responder, "op": a.Op, "target_id": a.Target.ID, "why": why}
	if a.Blast != nil {
		in["blast"] = a.Blast
	}
	set := map[string]string{}
	for _, k := range []string{network.ParamExpires, isolate.ParamBlind} {
		if v := a.Params[k]; v != "" {
			set[k] = v
		}
	}
	if len(set) > 0 {
		in["set"] = set
	}
	err = c.post(ctx, "/incidents/"+url.PathEscape(a.Incident)+"/actions", in, &out, who)
	return out, err
}

func (c *client) Undo(ctx context.Context, id, action, who, why string) ([]minewarden.Receipt, error) {
	var out struct{ Items []minewarden.Receipt }
	in := map[string]any{"why": why}
	if action != "" {
		in["action"] = action
	}
	err := c.post(ctx, "/incidents/"+url.PathEscape(id)+"/undo", in, &out, who)
	return out.Items, err
}

func (c *client) Close(ctx context.Context, id, who, why string) (out minewarden.Incident, err error) {
	err = c.post(ctx, "/incidents/"+url.PathEscape(id)+"/close", map[string]any{"why": why}, &out, who)
	return out, err
}

func (c *client) Records(ctx context.Context) ([]minewarden.Receipt, error) {
	var out struct{ Items []minewarden.Receipt }
	err := c.get(ctx, "/records", nil, &out)
	return out.Items, err
}

func (c *client) UndoAction(ctx context.Context, id, who, why string) (out minewarden.Receipt, err error) {
	err = c.post(ctx, "/actions/"+url.PathEscape(id)+"/undo", map[string]any{"why": why}, &out, who)
	return out, err
}

func (c *client) Judge(ctx context.Context, id, verdict, who, why string) (out minewarden.Incident, err error) {
	err = c.call(ctx, http.MethodPut, "/incidents/"+url.PathEscape(id)+"/verdict", nil, map[string]any{"verdict": verdict, "why": why}, &out, who)
	return out, err
}

func (c *client) PlanBlock(ctx context.Context, targets []string, lasts time.Duration) (out minewarden.Action, err error) {
	err = c.post(ctx, "/blocks/plan", wanted(targets, lasts), &out, "")
	return out, err
}

func (c *client) Block(ctx context.Context, targets []string, lasts time.Duration, who, why string) (out minewarden.Receipt, err error) {
	in := wanted(targets, lasts)
	in["why"] = why
	err = c.post(ctx, "/blocks", in, &out, who)
	return out, err
}

// wanted is a block as the API is asked for it.
func wanted(targets []string, lasts time.Duration) map[string]any {
	in := map[string]any{"targets": targets}
	if lasts > 0 {
		in["seconds"] = int64((lasts + time.Second - 1) / time.Second)
	}
	return in
}
