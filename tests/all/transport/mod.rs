//! The way to other domains: real signed zones, a resolver that checks them, web servers with policies, mail servers with
//! good and bad certificates. And name servers that are broken.

mod broken;
mod ends;
mod matrix;
mod operator;
mod proven;
mod receivers;
mod relaying;
mod resolving;
mod world;
mod zones;
