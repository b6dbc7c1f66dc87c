//! Questions to the API server outside of reconcile: the facts of admission, what keeps this process from being ready,
//! which rights it lacks, and what `migrate` reads.

pub mod inventory;
pub mod lookup;
pub mod readiness;
pub mod rights;
