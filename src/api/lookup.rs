//! The facts of admission: from the stores and, before a refusal, from the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crds::WorkspaceKind;
use crds::options::{KindOption, OptionList};
use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Secret};
use kube::api::PostParams;
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use webhook::{KindUsage, LookupError, MountSource};

use super::rights::{READ_CLAIMS, READ_NAMESPACES, READ_SECRETS, REVIEW_ACCESS};
use crate::client::{causes, is_transient, root_cause};
use crate::notebook::Notebook;
use crate::rbac::AccessRule;
use crate::stores::Stores;
use crate::users::{ListedWorkspace, WorkspacePages};

/// For one call to the API server: the caller has about five seconds for the whole review.
const CALL_LIMIT: Duration = Duration::from_secs(3);
/// For the list of Notebooks: it is available at once, or something is wrong.
const NOTEBOOKS_LIMIT: Duration = Duration::from_secs(2);
/// Looks up the facts of admission in the cluster.
#[derive(Clone)]
pub struct ClusterLookup {
    client: Client,
    stores: Stores,
}

impl ClusterLookup {
    /// Reads from `stores`, and through `client` what must be current.
    pub fn new(client: Client, stores: Stores) -> Self {
        Self { client, stores }
    }
}

impl webhook::Lookup for ClusterLookup {
    async fn kind(&self, name: &str) -> Result<Option<Arc<WorkspaceKind>>, LookupError> {
        self.stores.wait_read_model_synced().await;
        Ok(self.stores.kind(name))
    }

    async fn kind_live(&self, name: &str) -> Result<Option<Arc<WorkspaceKind>>, LookupError> {
        let kinds: Api<WorkspaceKind> = Api::all(self.client.clone());
        Ok(with_timeout(kinds.get_opt(name)).await?.map(Arc::new))
    }

    async fn workspaces_using_kind_live(&self, kind: &str) -> Result<KindUsage, LookupError> {
        let mut first = Vec::new();
        let mut pages: WorkspacePages<'_> = WorkspacePages::metadata(&self.client, kind);
        loop {
            first.extend(with_timeout(pages.read()).await?.into_iter().map(ListedWorkspace::into_key));
            if pages.is_complete() {
                return Ok(KindUsage { count: first.len(), first });
            }
            if !first.is_empty() {
                // Later pages may hold more of them, or only other Workspaces.
                return Ok(KindUsage { count: self.stores.count_workspaces_using_kind(kind).max(first.len()), first });
            }
        }
    }

    fn kind_names(&self) -> Vec<String> {
        self.stores.kind_names()
    }

    async fn workspaces_using_option(&self, kind: &str, option: &KindOption) -> Result<KindUsage, LookupError> {
        self.stores.wait_read_model_synced().await;
        let (count, first) = self.stores.workspaces_using_option(kind, option, KindUsage::NAMED);
        Ok(KindUsage {
            count,
            first: first.into_iter().map(|key| (key.namespace().to_owned(), key.name().to_owned())).collect(),
        })
    }

    async fn workspaces_using_options_live(
        &self,
        kind: &str,
        options: &BTreeSet<KindOption>,
    ) -> Result<BTreeMap<KindOption, KindUsage>, LookupError> {
        let mut found: BTreeMap<KindOption, KindUsage> = BTreeMap::new();
        let mut pages: WorkspacePages<'_> = WorkspacePages::whole(&self.client, kind);
        loop {
            for user in with_timeout(pages.read()).await? {
                // One without options uses none that could be removed.
                let Some(selection) = user.options() else { continue };
                let selected =
                    OptionList::ALL.map(|list| KindOption { list, id: list.selected(&selection).to_owned() });
                let asked: Vec<_> = selected.into_iter().filter(|option| options.contains(option)).collect();
                if asked.is_empty() {
                    continue;
                }
                let key = user.into_key();
                for option in asked {
                    let usage = found.entry(option).or_default();
                    usage.count += 1;
                    if usage.first.len() < KindUsage::NAMED {
                        usage.first.push(key.clone());
                    }
                }
            }
            if pages.is_complete() {
                return Ok(found);
            }
        }
    }

    async fn may_bind(&self, user: &UserInfo, cluster_role: &str) -> Result<bool, LookupError> {
        let resource = ResourceAttributes {
            group: Some("rbac.authorization.k8s.io".to_owned()),
            resource: Some("clusterroles".to_owned()),
            name: Some(cluster_role.to_owned()),
            verb: Some("bind".to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec { resource_attributes: Some(resource), ..access_of(user.clone()) };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = allowed_by(REVIEW_ACCESS, reviews.create(&PostParams::default(), &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    async fn notebook(&self, namespace: &str, name: &str) -> Result<bool, LookupError> {
        if timeout(NOTEBOOKS_LIMIT, self.stores.wait_notebooks_known()).await.is_err() {
            return Err(LookupError::Unavailable(
                "the Notebooks (kubeflow.org/v1) of the cluster have not been listed yet".to_owned(),
            ));
        }
        Ok(self.stores.has_notebook(namespace, name))
    }

    async fn notebook_live(&self, namespace: &str, name: &str) -> Result<bool, LookupError> {
        let notebooks: Api<Notebook> = Api::namespaced(self.client.clone(), namespace);
        let call = async {
            match notebooks.get_metadata_opt(name).await {
                // Then the cache has to do, as far as it may be filled.
                Err(kube::Error::Api(status)) if status.code == 403 => Ok(self.stores.has_notebook(namespace, name)),
                found => found.map(|found| found.is_some()),
            }
        };
        with_timeout(call).await
    }

    async fn namespace_labels(&self, namespace: &str) -> Result<BTreeMap<String, String>, LookupError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = allowed_by(READ_NAMESPACES, namespaces.get_metadata_opt(namespace)).await?;
        Ok(found.map(labels).unwrap_or_default())
    }

    async fn mounted_labels(
        &self,
        namespace: &str,
        mounted: &MountSource,
    ) -> Result<Option<BTreeMap<String, String>>, LookupError> {
        Ok(match mounted {
            MountSource::Claim(name) => {
                self.metadata::<PersistentVolumeClaim>(READ_CLAIMS, namespace, name).await?.map(labels)
            }
            MountSource::Secret(name) => self.metadata::<Secret>(READ_SECRETS, namespace, name).await?.map(labels),
        })
    }
}

impl ClusterLookup {
    /// The metadata of an object, if it is there.
    async fn metadata<K>(
        &self,
        rule: AccessRule,
        namespace: &str,
        name: &str,
    ) -> Result<Option<PartialObjectMeta<K>>, LookupError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let objects: Api<K> = Api::namespaced(self.client.clone(), namespace);
        allowed_by(rule, objects.get_metadata_opt(name)).await
    }
}

/// A question about the access of that user.
pub(super) fn access_of(user: UserInfo) -> SubjectAccessReviewSpec {
    let UserInfo { username, uid, groups, extra } = user;
    SubjectAccessReviewSpec { user: username, uid, groups, extra, ..SubjectAccessReviewSpec::default() }
}

fn labels<K>(object: PartialObjectMeta<K>) -> BTreeMap<String, String> {
    object.metadata.labels.unwrap_or_default()
}

/// The answer to a call that not every installation allows; where it is forbidden, the error says which rule is missing.
pub(super) async fn allowed_by<T>(
    rule: AccessRule,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, LookupError> {
    let call = async {
        let mut answer = call.await;
        if let Err(kube::Error::Api(status)) = &mut answer
            && status.code == 403
        {
            let message = &status.message;
            status.message = format!("{message}; add to the rules of the ClusterRole of the controller: {rule}");
        }
        answer
    };
    with_timeout(call).await
}

async fn with_timeout<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, LookupError> {
    match timeout(CALL_LIMIT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        // The API server rejected the request: that is a fault of the installation, unless the server is overloaded.
        Ok(Err(kube::Error::Api(status))) if status.code != 410 && !is_transient(&status) => {
            Err(LookupError::Failed(format!("the API server rejected the request: {}", status.message)))
        }
        Ok(Err(kube::Error::Api(status))) => {
            Err(LookupError::Unavailable(format!("the API server is overloaded or failing: {}", status.message)))
        }
        Ok(Err(error @ kube::Error::SerdeError(_))) => Err(LookupError::Failed(causes(&error))),
        Ok(Err(error)) => {
            Err(LookupError::Unavailable(format!("the API server could not be reached: {}", root_cause(&error))))
        }
        Err(_) => {
            let seconds = CALL_LIMIT.as_secs();
            Err(LookupError::Unavailable(format!("the API server did not respond within {seconds} s")))
        }
    }
}
