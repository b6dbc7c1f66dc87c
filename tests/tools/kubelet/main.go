// Command kubelet answers `exec` for every pod of its node, over the streaming server of real kubelets. The containers are
// processes of this machine: what is run in one gets a folder of its pod as its home and working directory, and the variables
// that the file `env` in that folder names, one NAME=value a line. The file `missing` names programs that the image does not have.
//
//	kubelet ADDRESS FOLDER
//
// Like a container runtime, it does not end what runs when the connection is closed.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	protocols "k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/client-go/tools/remotecommand"
	streaming "k8s.io/kubelet/pkg/cri/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

const idleTimeout, creationTimeout = 4 * time.Hour, 30 * time.Second

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: kubelet ADDRESS FOLDER")
	}
	address, folder := os.Args[1], os.Args[2]
	certificate, err := selfSigned()
	if err != nil {
		log.Fatal(err)
	}
	routes := http.NewServeMux()
	routes.HandleFunc("/exec/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		options, err := streaming.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		pod := pod(filepath.Join(folder, r.PathValue("namespace"), r.PathValue("pod")))
		command := r.URL.Query()["command"]
		streaming.ServeExec(w, r, pod, r.PathValue("pod"), "", r.PathValue("container"), command, options,
			idleTimeout, creationTimeout, protocols.SupportedStreamingProtocols)
	})
	server := &http.Server{
		Addr:      address,
		Handler:   routes,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}},
	}
	log.Fatal(server.ListenAndServeTLS("", ""))
}

// A pod, by its folder.
type pod string

func (p pod) ExecInContainer(_ context.Context, _ string, _ types.UID, container string, command []string, in io.Reader,
	out, errOut io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize, _ time.Duration) error {
	folder := string(p)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	variables, err := words(filepath.Join(folder, "env"))
	if err != nil {
		return err
	}
	missing, err := words(filepath.Join(folder, "missing"))
	if err != nil {
		return err
	}
	if slices.Contains(missing, command[0]) {
		// As containerd and runc say it.
		return fmt.Errorf("failed to exec in container: failed to start exec: OCI runtime exec failed: exec failed: "+
			"unable to start container process: exec: %q: stat %[1]s: no such file or directory: unknown", command[0])
	}
	process := exec.Command(command[0], command[1:]...)
	process.Dir = folder
	process.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "CONTAINER=" + container},
		variables...)
	process.Stdin, process.Stdout, process.Stderr = in, out, errOut
	err = process.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &utilexec.ExitErrorWrapper{ExitError: exit}
	}
	return err
}

// The words of a file, none where there is no such file.
func words(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(text)), err
}

// The API server does not check it, unless it is told to.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(365 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
