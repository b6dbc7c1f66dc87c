//! Long lists, page by page.

use std::fmt::Debug;

use kube::Api;
use kube::api::ListParams;
use kube::core::ObjectList;
use serde::de::DeserializeOwned;

use super::{CallError, in_time};

/// Objects per page.
const PAGE: u32 = 500;

/// All objects that `params` select.
///
/// # Errors
/// A page could not be read.
pub async fn list_all<K: Clone + DeserializeOwned + Debug>(
    api: &Api<K>,
    params: ListParams,
) -> Result<Vec<K>, CallError> {
    let mut all = Vec::new();
    for_each(api, params, |object| all.push(object)).await?;
    Ok(all)
}

/// Hands over all objects that `params` select, of which no more than a page is held at a time.
///
/// # Errors
/// A page could not be read.
pub async fn for_each<K: Clone + DeserializeOwned + Debug>(
    api: &Api<K>,
    mut params: ListParams,
    mut take: impl FnMut(K),
) -> Result<(), CallError> {
    params.limit = Some(PAGE);
    loop {
        let ObjectList { items, metadata, .. } = in_time(api.list(&params)).await?;
        items.into_iter().for_each(&mut take);
        match metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}
