//! Questions to the API server outside of reconcile: the facts of admission, what keeps this process from being ready, and
//! what `migrate` reads.

pub mod inventory;
pub mod lookup;
pub mod readiness;
