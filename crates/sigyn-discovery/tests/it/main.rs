//! Discovery as a program uses it: a configuration in, target groups out, against servers that
//! misbehave.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "azure")]
mod azure;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "consul")]
mod consul;
#[cfg(feature = "aws")]
mod ec2;
mod fake;
#[cfg(feature = "gcp")]
mod gce;
#[cfg(feature = "client")]
mod http_sd;
#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(feature = "full")]
mod mechanisms;
#[cfg(all(feature = "digitalocean", feature = "docker", feature = "hetzner", feature = "linode"))]
mod providers;
#[cfg(all(feature = "docker", feature = "eureka", feature = "nomad"))]
mod registries;
mod rig;
mod tables;
mod troubles;
