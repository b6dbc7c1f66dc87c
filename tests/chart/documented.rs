//! The commands that the documentation has: each shell block of some pages is run as it is printed, or stands in a list with the
//! reason why it cannot be; every block of every page is at least a script, and every `helm install` in them renders.

use std::cell::RefCell;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use cluster::{Cluster, ClusterOptions, Output, Reply, Tools, run};
use serde_json::{Value, json};

use crate::helm::{checkout, text};
use crate::installed::{TIMEOUT, free_ports};
use crate::process::Process;

const LOCAL: &str = "docs/local.md";
const INSTALL: &str = "docs/install.md";
const OPERATIONS: &str = "docs/operations.md";

const UNINSTALL: &str =
    "kubectl delete validatingwebhookconfiguration workspaces-validating-webhook-configuration\nhelm";
const KIND: &str = "/apis/kubeflow.org/v1beta1/workspacekinds/jupyterlab";
const SECRET: &str = "/api/v1/namespaces/kubeflow-workspaces/secrets/workspaces-webhook-ca";
const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/workspaces.kubeflow.org";
const NAMESPACE: &str = "/api/v1/namespaces/kubeflow-workspaces";

/// Blocks that are not run here: how they begin, and why.
const NOT_RUN: &[(&str, &str, &str)] = &[
    (LOCAL, "cargo build\n", "the test has both already"),
    (INSTALL, "docker build", "no image is built here"),
    (INSTALL, "helm install workspaces-controller charts/workspaces-controller", "rendered; cert-manager is not here"),
    (INSTALL, "kubectl create namespace", "rendered; `installed` has a Secret of its own"),
    (INSTALL, "kubectl apply --server-side --force-conflicts -k", "`kustomized` applies it"),
    (INSTALL, "first=$(kubectl", "needs openssl"),
    (INSTALL, "helm test", "the pods are fake; `check` runs what it runs"),
    (
        INSTALL,
        "kubectl delete validatingwebhookconfiguration workspaces-validating-webhook-configuration\nkubectl -n",
        "`replaced` does it",
    ),
    (
        INSTALL,
        "kubectl delete validatingwebhookconfiguration workspaces-validating-webhook-configuration\nkubectl get",
        "A10 does it",
    ),
    (OPERATIONS, "kubectl logs", "the pods are fake"),
];

struct Block {
    page: String,
    heading: String,
    script: String,
}

/// The shell blocks of a page, in order, without their indentation.
fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let (mut heading, mut open) = (String::new(), None::<(usize, String)>);
    for line in text(page).lines() {
        let indent = line.len() - line.trim_start().len();
        match &mut open {
            None if line.trim_start() == "```sh" => open = Some((indent, String::new())),
            None if line.starts_with('#') => line.trim_start_matches(['#', ' ']).clone_into(&mut heading),
            None => {}
            Some((_, script)) if line.trim_start() == "```" => {
                let (page, heading, script) = (page.to_owned(), heading.clone(), std::mem::take(script));
                found.push(Block { page, heading, script });
                open = None;
            }
            Some((by, script)) => {
                script.push_str(line.get(*by..).unwrap_or_default());
                script.push('\n');
            }
        }
    }
    assert!(open.is_none(), "{page}: a block has no end");
    found
}

/// All pages that have commands.
fn pages() -> Vec<String> {
    let docs =
        std::fs::read_dir(checkout("docs")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<String> = docs
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    pages.extend(["README.md", "docs/examples/README.md", "charts/workspaces-controller/README.md"].map(str::to_owned));
    pages.sort();
    pages
}

/// A folder that looks like a checkout after `cargo build`, for what is written there.
struct Desk {
    dir: tempfile::TempDir,
    kubeconfig: PathBuf,
}

impl Desk {
    fn new(kubeconfig: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["charts", "crds", "docs"] {
            symlink(checkout(folder), dir.path().join(folder)).unwrap();
        }
        std::fs::create_dir_all(dir.path().join("target/debug")).unwrap();
        let program = env!("CARGO_BIN_EXE_workspaces-controller");
        symlink(program, dir.path().join("target/debug/workspaces-controller")).unwrap();
        for file in ["ca.crt", "tls.crt", "tls.key"] {
            std::fs::write(dir.path().join(file), crate::helm::SOME_CA).unwrap();
        }
        Self { dir, kubeconfig: kubeconfig.to_owned() }
    }

    /// Runs a script in a shell that finds kubectl, helm and the product; the first command that fails ends it.
    fn run(&self, script: &str) -> Output {
        let folder = |program: &Path| program.parent().unwrap().display().to_string();
        let (kubectl, helm) = (folder(&Tools::ensure().unwrap().kubectl), folder(&Tools::helm().unwrap()));
        let own = self.dir.path().join("target/debug").display().to_string();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-ec", script]).current_dir(self.dir.path()).env_clear();
        shell.env("PATH", format!("{own}:{kubectl}:{helm}:/usr/bin:/bin"));
        shell.env("HOME", self.dir.path()).env("KUBECONFIG", &self.kubeconfig);
        run(shell, None).unwrap()
    }

    fn ok(&self, script: &str) -> String {
        let output = self.run(script);
        assert!(output.success, "{script}\n{}\n{}", output.stdout, output.stderr);
        output.stdout
    }
}

#[test]
fn each_block_is_a_script_and_each_installation_renders() {
    let desk = Desk::new(Path::new("/dev/null"));
    let (mut scripts, mut rendered) = (0, 0);
    for block in pages().iter().flat_map(|page| blocks(page)) {
        let place = format!("{}, {}", block.page, block.heading);
        let read = desk.run(&format!("sh -n <<'SCRIPT'\n{}SCRIPT", block.script));
        assert!(read.success, "{place}: {}", read.stderr);
        scripts += 1;
        for command in block.script.replace("\\\n", " ").lines().filter(|line| line.starts_with("helm install ")) {
            let template = format!("{} --kube-version 1.31.0", command.replacen("install", "template", 1));
            assert!(desk.ok(&template).contains("kind: Deployment"), "{place}: {command}");
            rendered += 1;
        }
    }
    assert!(scripts > 40 && rendered > 7, "{scripts} {rendered}");
}

/// The pages whose blocks are all run, but for those of [`NOT_RUN`].
struct Played {
    blocks: Vec<Block>,
    left: RefCell<Vec<bool>>,
}

impl Played {
    fn new() -> Self {
        let blocks: Vec<Block> = [LOCAL, INSTALL, OPERATIONS].into_iter().flat_map(blocks).collect();
        let left = blocks.iter().map(|_| true).collect();
        Self { blocks, left: RefCell::new(left) }
    }

    /// The block under this heading that begins so.
    fn block(&self, page: &str, heading: &str, start: &str) -> &str {
        let is_meant =
            |block: &Block| block.page == page && block.heading == heading && block.script.starts_with(start);
        let index = self.blocks.iter().position(is_meant);
        let index = index.unwrap_or_else(|| panic!("{page} has no such block under {heading:?}: {start}"));
        self.left.borrow_mut()[index] = false;
        &self.blocks[index].script
    }

    fn all_are_run_or_explained(&self) {
        let mut reasons = NOT_RUN.to_vec();
        for (block, _) in self.blocks.iter().zip(&*self.left.borrow()).filter(|(_, left)| **left) {
            let is_explained =
                |(page, start, _): &&(&str, &str, &str)| block.page == *page && block.script.starts_with(start);
            assert!(NOT_RUN.iter().any(|row| is_explained(&row)), "{}: not run: {}", block.page, block.script);
            reasons.retain(|row| !is_explained(&row));
        }
        assert!(reasons.is_empty(), "no block that is left begins so: {reasons:?}");
    }
}

/// The installation of `docs/local.md`.
struct Installation<'a> {
    cluster: &'a Cluster,
    pages: &'a Played,
    desk: &'a Desk,
    ports: [u16; 3],
}

impl Installation<'_> {
    fn play(&self, page: &str, heading: &str, start: &str) -> String {
        self.desk.ok(self.pages.block(page, heading, start))
    }

    /// With ports that are free here, in place of the usual ones.
    fn install(&self) {
        let script = self.pages.block(LOCAL, "The installation", "helm install");
        let usual = "--set webhook.url=https://127.0.0.1:9443";
        assert!(script.contains(usual), "{script}");
        let [webhook, health, metrics] = self.ports;
        let free = format!(
            "--set webhook.url=https://127.0.0.1:{webhook} --set ports.webhook={webhook} --set ports.health={health} --set \
             ports.metrics={metrics} --set settings.statusBindAddress=127.0.0.1:0"
        );
        self.desk.ok(&script.replace(usual, &free));
    }

    /// With what the documented command prints, sets and runs, but as a child that ends with this test.
    fn start(&self) -> Process {
        self.play(LOCAL, "The installation", "token=");
        let script = self.pages.block(LOCAL, "The installation", "kubectl get deployment");
        let (print, run) = script.split_once(" |\n").unwrap();
        let arguments = self.desk.ok(print).lines().map(str::to_owned).collect();
        let mut words: Vec<&str> = run.trim().strip_prefix("xargs env ").unwrap().split(' ').collect();
        assert_eq!(words.pop(), Some("target/debug/workspaces-controller"));
        let mut environment: Vec<(String, String)> = Vec::new();
        for (name, value) in words.iter().map(|word| word.split_once('=').unwrap()) {
            let file = self.desk.dir.path().join(value);
            let value = if name == "KUBECONFIG" { file.display().to_string() } else { value.to_owned() };
            environment.push((name.to_owned(), value));
        }
        let program = PathBuf::from(env!("CARGO_BIN_EXE_workspaces-controller"));
        let mut process = Process::start(&program, arguments, environment, self.desk.dir.path().join("log"));
        process.wait_ready(self.ports[1], TIMEOUT);
        process
    }

    fn first_workspace(&self) {
        self.play(LOCAL, "The first Workspace", "kubectl apply -f docs");
        let printed = self.play(LOCAL, "The first Workspace", "kubectl apply -f - <<END");
        assert!(printed.contains("virtualservice.networking.istio.io/ws-my-notebook-"), "{printed}");
        assert!(printed.contains("0 failed, 1 warnings, 0 unknown"), "{printed}");
    }

    fn backup_and_restore(&self) {
        self.play(OPERATIONS, "Backup and restore", "kubectl get workspacekinds");
        assert!(self.desk.ok("cat values.yaml").contains("mode: selfManaged"));
        let verdict = self.desk.ok("workspaces-controller validate kinds.yaml workspaces.yaml");
        assert!(verdict.contains("1 WorkspaceKind, 1 Workspace: 0 errors"), "{verdict}");
        self.desk.ok("kubectl delete workspaces --all --all-namespaces; kubectl delete workspacekinds --all");
        self.play(OPERATIONS, "Backup and restore", "sed -e");
        self.desk.ok("kubectl wait --for=condition=Available workspace/my-notebook --timeout=60s");
    }

    fn operations(&self) {
        self.play(INSTALL, "Replicas", "kubectl get lease");
        self.play(INSTALL, "Does it work?", "workspaces-controller check");
        self.play(INSTALL, "Metrics, alerts and a dashboard", "kubectl -n");
        self.play(OPERATIONS, "Replicas", "kubectl rollout restart");
        self.play(OPERATIONS, "Tasks", "kubectl get workspaces");
        self.desk.ok("kubectl wait --for=jsonpath='{.status.state}'=Paused workspace/my-notebook --timeout=60s");
        let upgrade = "helm upgrade workspaces-controller charts/workspaces-controller --namespace kubeflow-workspaces";
        self.desk.ok(&format!("{upgrade} --reset-then-reuse-values --set settings.useIstio=false"));
        self.play(INSTALL, "Back to the version before", "helm history");
        let deployment = "/apis/apps/v1/namespaces/kubeflow-workspaces/deployments/workspaces-controller";
        let deployment = self.cluster.api().get(deployment).and_then(Reply::ok).unwrap();
        let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
        assert!(arguments.as_array().unwrap().contains(&json!("--use-istio=true")), "{arguments}");
    }

    fn statuses(&self, paths: &[&str]) -> Vec<u16> {
        paths.iter().map(|path| self.cluster.api().get(path).unwrap().status).collect()
    }
}

#[test]
fn the_documented_commands_install_operate_and_remove() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let (pages, desk) = (Played::new(), Desk::new(&cluster.api().kubeconfig));
    let installation = Installation { cluster: &cluster, pages: &pages, desk: &desk, ports: free_ports() };
    installation.play(LOCAL, "The control plane", "kubectl delete crd");
    installation.install();
    let mut process = installation.start();
    installation.first_workspace();
    installation.backup_and_restore();
    installation.operations();
    assert!(process.terminate(TIMEOUT).success(), "{}", process.log());

    installation.play(INSTALL, "Uninstalling", UNINSTALL);
    assert_eq!(installation.statuses(&[KIND, SECRET, CRD]), [200, 200, 200]);
    installation.play(INSTALL, "Uninstalling", "workspaces-controller cleanup --dry-run");
    let kind: Value = cluster.api().get(KIND).and_then(Reply::ok).unwrap();
    assert_eq!((installation.statuses(&[SECRET]), &kind["metadata"]["finalizers"]), (vec![404], &Value::Null));
    installation.play(
        INSTALL,
        "Uninstalling",
        "workspaces-controller cleanup --yes --namespace kubeflow-workspaces\nkubectl",
    );
    assert_eq!(installation.statuses(&[CRD, NAMESPACE]), [404, 404]);

    // Again, and away while it runs.
    installation.install();
    let process = installation.start();
    installation.play(LOCAL, "The first Workspace", "kubectl apply -f docs");
    installation.play(INSTALL, "Uninstalling", "kubectl delete workspaces");
    assert_eq!(installation.statuses(&[CRD, NAMESPACE]), [404, 404]);
    drop(process);
    pages.all_are_run_or_explained();
}
