//! What commands read of a cluster. `migrate` checks files, so it gets the objects as files in memory.

use crds::WorkspaceKind;
use kube::api::{ApiResource, ListParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::Value;

use crate::client::causes;
use crate::offline::InputFile;
use crate::offline::migrate::leftovers::USERS_ROLES;

/// Objects per page of a list.
const PAGE: u32 = 500;
/// A copy of the whole object, which is not checked.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A resource to list: group, version, kind, plural, and whether it is optional.
const RESOURCES: [(&str, &str, &str, &str, bool); 5] = [
    (crds::GROUP, crds::VERSION, "WorkspaceKind", "workspacekinds", false),
    (crds::GROUP, crds::VERSION, "Workspace", "workspaces", false),
    ("apps", "v1", "StatefulSet", "statefulsets", false),
    (crds::GROUP, "v1", "Notebook", "notebooks", true),
    // Filter rules match their labels.
    ("", "v1", "Namespace", "namespaces", true),
];

/// Every WorkspaceKind, Workspace, StatefulSet, Notebook and Namespace, and the ClusterRoles of users, each a file
/// `cluster/<plural>/<namespace>/<name>`.
///
/// The error is a sentence for the user.
pub async fn read(client: &Client) -> Result<Vec<InputFile>, String> {
    let mut files = Vec::new();
    for (group, version, kind, plural, optional) in RESOURCES {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = match api.list(&params).await {
                Ok(page) => page,
                Err(error) if optional && is_unavailable(&error) => break,
                Err(error) => return Err(format!("cannot list {plural}: {}", causes(&error))),
            };
            for object in page.items {
                files.push(input_file(&resource, object)?);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
    }
    files.extend(users_roles(client).await?);
    Ok(files)
}

/// A WorkspaceKind, or the names of all of them where there is none of this name.
///
/// The error is a sentence for the user.
pub async fn kind(client: &Client, name: &str) -> Result<Result<WorkspaceKind, Vec<String>>, String> {
    let api: Api<WorkspaceKind> = Api::all(client.clone());
    let got = api.get_opt(name).await;
    if let Some(kind) = got.map_err(|error| format!("cannot get workspacekinds {name}: {}", causes(&error)))? {
        return Ok(Ok(kind));
    }
    let listed = api.list_metadata(&ListParams::default()).await;
    let listed = listed.map_err(|error| format!("cannot list workspacekinds: {}", causes(&error)))?;
    Ok(Err(listed.items.into_iter().filter_map(|kind| kind.metadata.name).collect()))
}

/// The ClusterRoles of users, as far as they exist and may be read.
async fn users_roles(client: &Client) -> Result<Vec<InputFile>, String> {
    let gvk = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", "ClusterRole");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "clusterroles");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let mut files = Vec::new();
    for name in USERS_ROLES {
        match api.get_opt(name).await {
            Ok(Some(role)) => files.push(input_file(&resource, role)?),
            Ok(None) => {}
            Err(error) if is_unavailable(&error) => {}
            Err(error) => return Err(format!("cannot get clusterroles {name}: {}", causes(&error))),
        }
    }
    Ok(files)
}

/// Whether a resource is not served, or may not be read.
fn is_unavailable(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 403 | 404))
}

fn input_file(resource: &ApiResource, mut object: DynamicObject) -> Result<InputFile, String> {
    // The items of a list have no type of their own.
    object.types.get_or_insert_with(|| kube::core::TypeMeta {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
    });
    object.metadata.managed_fields = None;
    if let Some(annotations) = &mut object.metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
    let part = |part: &Option<String>| part.as_ref().map(|part| format!("/{part}")).unwrap_or_default();
    let plural = &resource.plural;
    let name = format!("cluster/{plural}{}{}", part(&object.metadata.namespace), part(&object.metadata.name));
    let value: Value = serde_json::to_value(&object).map_err(|error| format!("{name}: {error}"))?;
    let text = serde_saphyr::to_string(&value).map_err(|error| format!("{name}: {error}"))?;
    Ok(InputFile::new(name, text))
}
