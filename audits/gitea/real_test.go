package gitea

import (
	"fmt"
	"os/user"
	"path/filepath"
	"testing"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/audittest"
)

func start(t *testing.T, service string) string {
	t.Helper()
	bin := audittest.Program(t, "gitea")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	p := audittest.Ports(t, 1)
	dir := t.TempDir()
	url := fmt.Sprintf("http://127.0.0.1:%d", p[0])
	conf := audittest.Write(t, "app.ini", fmt.Sprintf("RUN_USER = %s\nWORK_PATH = %s\nI_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true\n[server]\nHTTP_ADDR = 127.0.0.1\nHTTP_PORT = %d\nROOT_URL = %s/\nOFFLINE_MODE = true\nAPP_DATA_PATH = %s\nDISABLE_SSH = true\n"+
		"[database]\nDB_TYPE = sqlite3\nPATH = %s\n[repository]\nROOT = %s\n[security]\nINSTALL_LOCK = true\nSECRET_KEY = for-a-test-only\n[service]\n%s",
		me.Username, dir, p[0], url, filepath.Join(dir, "data"), filepath.Join(dir, "gitea.db"), filepath.Join(dir, "repos"), service))
	audittest.Run(t, url+"/user/login", []int{200}, []string{"GITEA_WORK_DIR=" + dir, "HOME=" + dir}, bin, "web", "--config", conf)
	return url
}

func TestRealInsecure(t *testing.T) {
	v := audit(t, start(t, "DISABLE_REGISTRATION = false\nREQUIRE_SIGNIN_VIEW = false\n"), mw.ServiceAccess{})
	audittest.Want(t, v, map[string]mw.Status{ruleRegister: mw.StatusFail, ruleTLS: mw.StatusFail})
	if v.Version == "" {
		t.Error("no version")
	}
}

// TestRealHardened holds that the page for registration, which answers 200 also when nobody may register, is read.
func TestRealHardened(t *testing.T) {
	v := audit(t, start(t, "DISABLE_REGISTRATION = true\nREQUIRE_SIGNIN_VIEW = true\n"), mw.ServiceAccess{})
	audittest.Want(t, v, map[string]mw.Status{ruleRegister: mw.StatusPass})
}
