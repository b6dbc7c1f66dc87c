//! Children as an earlier version left them: it sent apply bodies that a YAML reader takes for something else.

use cluster::Reply;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use workspaces_controller::render::{self, RenderInput, Route};

use crate::process::settings;
use crate::world::{Child, WorkspaceHandle, World, condition};

const HASH: &str = "notebooks.kubeflow.org/applied-hash";
/// What is rendered, and what the API server made of it.
const RENDERED: &str = "a\u{85}\u{85}b";
const STORED: &str = "a\nb";
/// Stands for what cannot be rendered any more.
const PLACEHOLDER: &str = "placeholder";

/// A kind whose variable YAML folds, with a header that can be rendered, for now.
pub fn folded(template: &mut Value) {
    template["extraEnv"] = json!([{"name": "FOLDED", "value": "{{ printf \"a%c%cb\" 133 133 }}"}]);
    template["ports"][0]["httpProxy"]["requestHeaders"]["set"] = json!({"X-Folded": PLACEHOLDER});
}

/// What the loop has to repair when it starts.
pub struct Poisoned<'a> {
    /// Its StatefulSet and its VirtualService are as an earlier version left them. The first can be written as it was
    /// meant, the second cannot: its header is refused now.
    pub folded: WorkspaceHandle<'a>,
    /// Its StatefulSet was applied with our hash, but as an earlier version wrote it.
    pub forged_set: WorkspaceHandle<'a>,
    /// Another client applied a VirtualService that freezes the gateway, in our name and with our hash.
    pub forged_route: WorkspaceHandle<'a>,
}

impl Poisoned<'_> {
    /// Poisons them, while no loop runs.
    pub fn poison(&self) {
        self.write_as_earlier();
        apply(&self.forged_set, Child::StatefulSet, &applied(&self.forged_set.child(Child::StatefulSet)));
        assert_eq!(variable(&self.forged_set), STORED);
        let mut route = applied(&self.forged_route.child(Child::VirtualService));
        route["spec"]["http"][0]["headers"]["request"]["set"]["X-Path"] = json!(STORED);
        apply(&self.forged_route, Child::VirtualService, &route);
    }

    fn write_as_earlier(&self) {
        let World { cluster, kind, .. } = self.folded.world;
        let path = format!("/apis/kubeflow.org/v1beta1/workspacekinds/{kind}");
        let spec = serde_json::from_value::<crds::WorkspaceKind>(self.folded.world.get(&path)).unwrap().spec;
        let workspace: crds::Workspace = serde_json::from_value(self.folded.get()).unwrap();
        let desired = render::render(RenderInput::from(&workspace), &spec, &settings(&[]).routing).unwrap();
        let Route::Wanted(route) = desired.route else { panic!("{:?}", desired.route) };
        apply(&self.folded, Child::StatefulSet, &as_earlier(&desired.stateful_set));
        let route = as_earlier(&route);
        apply(&self.folded, Child::VirtualService, &route);
        let header = json!([{"op": "replace", "value": RENDERED,
            "path": "/spec/podTemplate/ports/0/httpProxy/requestHeaders/set/X-Folded"}]);
        cluster.api().json_patch(&path, &header).and_then(Reply::ok).unwrap();
        assert_eq!(variable(&self.folded), STORED);
        assert_eq!(header_of(&self.folded, "X-Folded"), STORED);
    }

    /// Whether everything is as it has to be, and what is not.
    pub fn healed(&self) -> Result<(), String> {
        let path = header_of(&self.forged_route, "X-Path");
        let route = self.folded.find_child(Child::VirtualService);
        let route_ready = condition(&self.folded.get()["status"], "RouteReady");
        let message = route_ready["message"].as_str().unwrap_or_default();
        let variables = [&self.folded, &self.forged_set].map(variable);
        let good = variables.iter().all(|value| value == RENDERED)
            && path != STORED
            && route.is_none()
            && route_ready["reason"] == "UnsafeHeader"
            && message.contains("requestHeaders.set[X-Folded]: ");
        let is = || format!("{variables:?} {path} {route:?} {route_ready}");
        if good { Ok(()) } else { Err(is()) }
    }
}

fn variable(lab: &WorkspaceHandle<'_>) -> String {
    let set = lab.child(Child::StatefulSet);
    set["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"].as_str().unwrap().to_owned()
}

fn header_of(lab: &WorkspaceHandle<'_>, name: &str) -> String {
    let route = lab.child(Child::VirtualService);
    route["spec"]["http"][0]["headers"]["request"]["set"][name].as_str().unwrap().to_owned()
}

/// The object as an earlier version wrote it: its hash is that of plain JSON.
fn as_earlier(object: &impl Serialize) -> Value {
    let text = serde_json::to_string(object).unwrap().replace(PLACEHOLDER, RENDERED);
    let hash = &format!("{:x}", Sha256::digest(&text))[..32];
    let mut object: Value = serde_json::from_str(&text).unwrap();
    object["metadata"]["annotations"][HASH] = json!(hash);
    object
}

/// What of a stored object we applied, near enough.
fn applied(stored: &Value) -> Value {
    let metadata = &stored["metadata"];
    json!({
        "apiVersion": stored["apiVersion"],
        "kind": stored["kind"],
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "labels": metadata["labels"],
            "annotations": {HASH: metadata["annotations"][HASH]}, "ownerReferences": metadata["ownerReferences"],
        },
        "spec": stored["spec"],
    })
}

fn apply(lab: &WorkspaceHandle<'_>, child: Child, object: &Value) {
    let api = lab.world.cluster.api();
    api.apply(&lab.child_path(child), "workspaces-controller", object).and_then(Reply::ok).unwrap();
}
