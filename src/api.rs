//! Questions to the API server outside of reconcile: the facts of admission, what keeps this process from being ready,
//! which rights it lacks, who may read what it serves, and what `migrate` reads.

pub mod controllers;
pub mod inventory;
pub mod lookup;
pub mod readiness;
pub mod rights;
pub mod token_review;
