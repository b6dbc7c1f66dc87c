//! The reconcile loop on a real control plane, without webhooks: what exists, what is written and how often (counted in
//! the API server's audit log), and what the status says.

#![allow(clippy::unwrap_used, clippy::panic)]

mod activity;
mod adoption;
mod children;
mod deleted;
mod drift;
mod events;
mod faulty;
mod foreign;
mod hand_back;
mod hostile_probes;
mod interference;
mod istio;
mod jupyter;
mod killed;
mod kinds;
mod metrics;
mod mutating;
mod namespace_selector;
mod only_routes;
mod placement;
mod poison;
mod process;
mod proxy;
mod recreated;
mod refusals;
mod rest;
mod restarts;
mod role_bindings;
mod rollout;
mod routes;
mod states;
mod stop;
mod tenants;
mod text;
mod warnings;
mod world;
