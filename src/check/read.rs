//! What `check` reads of the cluster. Each part may be missing a right without the others being lost.

use std::fmt;

use crds::labels::WORKSPACE_NAME_LABEL;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{ApiResource, ListParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::{Api, Client, Resource as _};
use serde::de::DeserializeOwned;

use super::arguments::Check;
use super::chain::{Backing, kind_webhook};
use super::surroundings::{Istio, Leader, Readiness, Surroundings};
use super::unread::{KUBEFLOW_ROLES, USERS_ROLES, Unread, rule};

use crate::api::controllers::PART_OF;
use crate::client::{CallError, for_each, in_time, list_all};
use crate::election::who_holds;
use crate::rbac::AccessRule;
use crate::render::ChildKind;
use crate::stores::child::{Child, ChildObject, ChildType};
use crate::stores::slim::Incoming;

const CONFIGURATIONS: AccessRule = rule("admissionregistration.k8s.io", "validatingwebhookconfigurations", &["list"]);
const SERVICES: AccessRule = rule("", "services", &["get"]);
const ENDPOINTS: AccessRule = rule("discovery.k8s.io", "endpointslices", &["list"]);
const DEPLOYMENTS: AccessRule = rule("apps", "deployments", &["list"]);
const LEASES: AccessRule = rule("coordination.k8s.io", "leases", &["get", "list"]);
const ROLES: AccessRule = rule("rbac.authorization.k8s.io", "clusterroles", &["get"]);
const GATEWAYS: AccessRule = rule("networking.istio.io", "gateways", &["get"]);
const ROUTES: AccessRule = rule("networking.istio.io", "virtualservices", &["list"]);
const KINDS: AccessRule = rule(crds::GROUP, "workspacekinds", &["list"]);
const WORKSPACES: AccessRule = rule(crds::GROUP, "workspaces", &["list"]);

async fn all<K: Clone + DeserializeOwned + fmt::Debug>(
    api: Api<K>,
    params: ListParams,
    rule: AccessRule,
) -> Result<Vec<K>, Unread> {
    list_all(&api, params).await.map_err(|error| Unread::new(&error, rule))
}

async fn one<K: Clone + DeserializeOwned + fmt::Debug>(
    api: Api<K>,
    name: &str,
    rule: AccessRule,
) -> Result<Option<K>, Unread> {
    match in_time(api.get_opt(name)).await {
        Ok(object) => Ok(object),
        Err(error) => Err(Unread::new(&error, rule)),
    }
}

/// The webhook configurations.
pub(super) async fn configurations(client: &Client) -> Result<Vec<ValidatingWebhookConfiguration>, Unread> {
    all(Api::all(client.clone()), ListParams::default(), CONFIGURATIONS).await
}

/// The Service that a webhook configuration names, and what is behind it.
pub(super) async fn service(
    client: &Client,
    configurations: &[ValidatingWebhookConfiguration],
) -> Option<Result<Option<Backing>, Unread>> {
    let named = kind_webhook(configurations)?.client_config.service.as_ref()?;
    let read = async {
        let services: Api<Service> = Api::namespaced(client.clone(), &named.namespace);
        let Some(service) = one(services, &named.name, SERVICES).await? else { return Ok(None) };
        let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={}", named.name));
        let slices = all(Api::namespaced(client.clone(), &named.namespace), of_service, ENDPOINTS).await?;
        Ok(Some(Backing { service, slices }))
    };
    Some(read.await)
}

/// Everything around the webhook.
pub(super) async fn surroundings(client: &Client, check: &Check, namespace: &str) -> Surroundings {
    let istio = if check.use_istio { Some(istio(client, check).await) } else { None };
    let deployments = all(Api::all(client.clone()), ListParams::default().labels(PART_OF), DEPLOYMENTS).await;
    let resource = |kind: &str, plural: &str| {
        let gvk = GroupVersionKind::gvk(crds::GROUP, crds::VERSION, kind);
        Api::<DynamicObject>::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&gvk, plural))
    };
    let kinds = all(resource("WorkspaceKind", "workspacekinds"), ListParams::default(), KINDS).await;
    let workspaces = readiness(&resource("Workspace", "workspaces")).await;
    Surroundings {
        istio,
        roles: roles(client).await,
        deployments,
        leader: leader(client, check, namespace).await,
        kinds,
        workspaces,
        elects: check.leader_elect,
        namespace: namespace.to_owned(),
    }
}

/// Of all Workspaces, of which there may be many thousands.
async fn readiness(workspaces: &Api<DynamicObject>) -> Result<Readiness, Unread> {
    let mut readiness = Readiness::default();
    let read = for_each(workspaces, ListParams::default(), |workspace| readiness.add(&workspace)).await;
    read.map_err(|error| Unread::new(&error, WORKSPACES))?;
    Ok(readiness)
}

async fn roles(client: &Client) -> Vec<(&'static str, Result<Option<ClusterRole>, Unread>)> {
    let api: Api<ClusterRole> = Api::all(client.clone());
    let mut roles = Vec::new();
    for name in USERS_ROLES.into_iter().chain(KUBEFLOW_ROLES) {
        roles.push((name, one(api.clone(), name, ROLES).await));
    }
    roles
}

async fn leader(client: &Client, check: &Check, namespace: &str) -> Result<Leader, Unread> {
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    // It reports a right to get it that is missing; what follows only lists.
    one(api.clone(), check.lease, LEASES).await?;
    let holding = who_holds(client, Some(namespace), &[check.lease], |_| {}).await;
    let holding = holding.map_err(|error| Unread::new(&error, LEASES))?;
    // That may have taken half a minute, in which another one may have written it.
    Ok(Leader { lease: one(api, check.lease, LEASES).await?, holding })
}

/// Whether Istio is there, its gateways of the settings, and the routes.
async fn istio(client: &Client, check: &Check) -> Result<Istio, Unread> {
    for of in ChildType::all(ChildKind::VirtualService) {
        let version = ChildObject::api_version(&of);
        let resources = match in_time(client.list_api_group_resources(&version)).await {
            Ok(resources) => resources.resources,
            Err(CallError::Api(kube::Error::Api(status))) if status.code == 404 => continue,
            Err(error) => return Err(Unread::new(&error, ROUTES)),
        };
        let has = |plural: &str| resources.iter().any(|resource| resource.name == plural);
        let routes = if has(ChildKind::VirtualService.row().plural) {
            let api: Api<Incoming<Child>> = Api::all_with(client.clone(), &of);
            Some(all(api, ListParams::default().labels(WORKSPACE_NAME_LABEL), ROUTES).await)
        } else {
            None
        };
        let gateways = if has("gateways") { Some(gateways(client, &version, &check.gateways).await) } else { None };
        return Ok(Istio { gateways, routes });
    }
    Ok(Istio::default())
}

/// Whether each of the gateways of the settings exists.
async fn gateways(client: &Client, version: &str, names: &[String]) -> Vec<(String, Result<bool, Unread>)> {
    let version = version.rsplit('/').next().unwrap_or(version);
    let gvk = GroupVersionKind::gvk(ChildKind::VirtualService.row().group, version, "Gateway");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "gateways");
    let mut found = Vec::new();
    for gateway in names {
        let (namespace, name) = gateway.split_once('/').unwrap_or(("default", gateway));
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        found.push((gateway.clone(), one(api, name, GATEWAYS).await.map(|gateway| gateway.is_some())));
    }
    found
}
