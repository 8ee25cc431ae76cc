// Package gatewaytest runs proxies by the recipes of deploy/gateways, for tests: those
// whose programs Debian has.
package gatewaytest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Program is a proxy, and how it is run by its recipe.
type Program struct {
	Name string // of the program, of its Debian package and of its folder of recipes

	files   []string // of the recipe, the configuration first
	args    func(config string) []string
	replace func(dir string) []string // beyond what all have in common
}

// Programs returns all that there are.
func Programs() []Program {
	return []Program{
		{"nginx", []string{"nginx.conf"}, func(config string) []string {
			return []string{"-p", filepath.Dir(config), "-c", config, "-g", "daemon off; master_process off;"}
		}, func(dir string) []string {
			temporary := "http {\n"
			for kind := range strings.FieldsSeq("client_body proxy fastcgi uwsgi scgi") {
				temporary += "    " + kind + "_temp_path " + dir + "/" + kind + ";\n"
			}
			return []string{"/run/nginx.pid", dir + "/pid", "/var/log/nginx/error.log", "stderr", "/var/log/nginx", dir, "http {\n", temporary}
		}},
		{"caddy", []string{"Caddyfile"}, func(config string) []string {
			return []string{"run", "--config", config, "--adapter", "caddyfile"}
		}, func(string) []string { return nil }},
		{"haproxy", []string{"haproxy.cfg", "postern.lua"}, func(config string) []string {
			return []string{"-db", "-f", config}
		}, func(dir string) []string { return []string{"/etc/haproxy", dir} }},
	}
}

// Places are the addresses that a recipe is run with.
type Places struct {
	Listen  string // where the proxy listens: an address and a port
	Service string // what it stands in front of
	Gateway string // the path of the socket on which Postern is asked
}

// Command writes a recipe into a folder, from that of all recipes and with other
// places, and returns the command that runs it in the foreground, as one process. It
// speaks of its troubles on its standard output and error.
func (p Program) Command(recipes, dir string, at Places) (*exec.Cmd, error) {
	path, err := exec.LookPath(p.Name)
	if err != nil {
		return nil, fmt.Errorf("%s is missing: it is the Debian package of this name, which make proxies installs: %w", p.Name, err)
	}
	_, port, err := net.SplitHostPort(at.Listen)
	if err != nil {
		return nil, err
	}
	replacer := strings.NewReplacer(append([]string{
		"127.0.0.1:8080", at.Listen, ":8080", ":" + port, "127.0.0.1:9000", at.Service, "/run/postern/gateway.sock", at.Gateway,
	}, p.replace(dir)...)...)
	for _, file := range p.files {
		text, err := os.ReadFile(filepath.Join(recipes, p.Name, file))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(replacer.Replace(string(text))), 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(path, p.args(filepath.Join(dir, p.files[0]))...)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	return cmd, nil
}
