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
    mut params: ListParams,
) -> Result<Vec<K>, CallError> {
    params.limit = Some(PAGE);
    let mut all = Vec::new();
    loop {
        let ObjectList { items, metadata, .. } = in_time(api.list(&params)).await?;
        all.extend(items);
        match metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}
