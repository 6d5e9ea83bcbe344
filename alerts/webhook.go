package alerts

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxChat bounds a message in bytes: WeCom takes 2048 of them, the others more.
const maxChat = 2000

// webhook posts to a URL: to a program as JSON, to chats as they want it.
type webhook struct {
	Output
	text    text
	version string
	client  *http.Client
	now     func() time.Time
}

func newWebhook(o Output, t text, version string) (*webhook, error) {
	tlsConfig, err := o.TLS.client()
	if err != nil {
		return nil, err
	}
	return &webhook{Output: o, text: t, version: version, now: time.Now, client: &http.Client{
		Transport: &http.Transport{TLSClientConfig: tlsConfig, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true},
		// A redirect would carry the message and its secrets to somebody whom nobody configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (w *webhook) send(ctx context.Context, a *Alert) error {
	address, key, token, err := w.secrets()
	if err != nil {
		return err
	}
	body, err := w.body(a, key)
	if err != nil {
		return err
	}
	if w.Type == "dingtalk" && key != "" {
		if address, err = w.signDingTalk(address, key); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("post: the address cannot be used") // it may hold a secret
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "minewarden/"+w.version)
	for k, v := range w.Headers {
		req.Header.Set(k, v)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if w.Type == "webhook" {
		req.Header.Set("Idempotency-Key", a.ID)
		if key != "" {
			at := strconv.FormatInt(w.now().Unix(), 10)
			req.Header.Set("X-Minewarden-Timestamp", at)
			req.Header.Set("X-Minewarden-Signature", "sha256="+hex.EncodeToString(sum(key, at+"."+string(body))))
		}
	}
	return w.post(req)
}

func (w *webhook) post(req *http.Request) error {
	resp, err := w.client.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the address: those of chats are secrets
		}
		return fmt.Errorf("post: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("post: read the answer: %w", err)
	}
	switch code := resp.StatusCode; {
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return fmt.Errorf("post: %s", resp.Status)
	case code < 200 || code > 299:
		return fmt.Errorf("post: %s: %w", resp.Status, errRefused)
	}
	return w.chatAnswer(answer)
}

// chatAnswer reads what chats say with status 200: a refusal among it.
func (w *webhook) chatAnswer(answer []byte) error {
	switch w.Type {
	case "dingtalk", "wecom", "feishu":
	default:
		return nil
	}
	var a struct {
		Errcode int    `json:"errcode"`
		Errmsg  string `json:"errmsg"`
		Code    int    `json:"code"`
		Msg     string `json:"msg"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return fmt.Errorf("post: the answer is no JSON: %w", errRefused)
	}
	switch {
	case a.Errcode == 0 && a.Code == 0:
		return nil
	case a.Errcode == 130101 || a.Errcode == 45009 || a.Errcode == -1 || a.Code == 11232 || a.Code == 9499: // too many at once
		return fmt.Errorf("post: %d %s", a.Errcode+a.Code, line("%s", a.Errmsg+a.Msg))
	}
	return fmt.Errorf("post: %d %s: %w", a.Errcode+a.Code, line("%s", a.Errmsg+a.Msg), errRefused)
}

func (w *webhook) secrets() (address, key, token string, err error) {
	address = w.URL
	if w.URLFile != "" {
		if address, err = secret(w.URLFile); err != nil {
			return "", "", "", err
		}
		if err := checkURL(address); err != nil {
			return "", "", "", err
		}
	}
	if key, err = secret(w.SecretFile); err != nil {
		return "", "", "", err
	}
	token, err = secret(w.TokenFile)
	return address, key, token, err
}

// body is the message as the receiver wants it. Text never acts: mentions and links that an attacker put into a name are taken apart.
func (w *webhook) body(a *Alert, key string) ([]byte, error) {
	if w.Type == "webhook" {
		if w.Template != "" {
			return []byte(w.text.of(a)), nil
		}
		format := w.Format
		if format == "" {
			format = "json"
		}
		return Encode(a, format, w.version)
	}
	message := cut(w.text.of(a), maxChat)
	switch w.Type {
	case "slack":
		return json.Marshal(object{"text": slackText.Replace(message), "unfurl_links": false, "unfurl_media": false})
	case "teams":
		return json.Marshal(object{"type": "message", "attachments": []object{{
			"contentType": "application/vnd.microsoft.card.adaptive",
			"content": object{
				"type": "AdaptiveCard", "version": "1.4", "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
				"body": []object{{"type": "TextBlock", "wrap": true, "text": teamsText.Replace(message)}},
			},
		}}})
	case "dingtalk":
		return json.Marshal(object{"msgtype": "text", "text": object{"content": mentions.Replace(message)}, "at": object{"isAtAll": false}})
	case "wecom":
		return json.Marshal(object{"msgtype": "text", "text": object{"content": mentions.Replace(message)}})
	case "feishu":
		m := object{"msg_type": "text", "content": object{"text": mentions.Replace(message)}}
		if key != "" {
			at := strconv.FormatInt(w.now().Unix(), 10)
			m["timestamp"], m["sign"] = at, base64.StdEncoding.EncodeToString(sum(at+"\n"+key, ""))
		}
		return json.Marshal(m)
	}
	return nil, fmt.Errorf("no body for %q", w.Type)
}

// What acts in the chats' texts, and what stands for it.
var (
	slackText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	teamsText = strings.NewReplacer("\\", "\\\\", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "`", "\\`", "#", "\\#", "<", "&lt;", "\n", "\n\n")
	mentions  = strings.NewReplacer("<", "＜", ">", "＞", "@", "＠")
)

func (w *webhook) signDingTalk(address, key string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("the address cannot be used")
	}
	at := strconv.FormatInt(w.now().UnixMilli(), 10)
	q := u.Query()
	q.Set("timestamp", at)
	q.Set("sign", base64.StdEncoding.EncodeToString(sum(key, at+"\n"+key)))
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func sum(key, message string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(message))
	return m.Sum(nil)
}

// cut shortens to at most n bytes at the border of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
