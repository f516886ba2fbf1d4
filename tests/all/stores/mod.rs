//! One suite for every engine of a trait, the frozen formats, a parcel's life, and attacks on what lies at rest.

mod attack;
mod blobs;
mod frozen;
mod frozen_parcel;
mod life;
mod records;
mod slots;
mod thief;
mod vectors;
