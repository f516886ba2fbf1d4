//! Mail as the world writes it: generated, the same in every run, and what the scanner makes of it.

mod clients;
mod differential;
mod reading;
mod shapes;
mod special;
mod tree;

pub use tree::{Content, Leaf, Purpose};

/// A mail with what was put into it.
pub struct Specimen {
    pub name: String,
    pub bytes: Vec<u8>,
    /// Every part that holds no other, in the order in which they stand.
    pub leaves: Vec<Leaf>,
}

/// More than three hundred ordinary mails of ordinary clients, by name.
pub fn mails() -> Vec<(String, Vec<u8>)> {
    specimens().into_iter().map(|specimen| (specimen.name, specimen.bytes)).collect()
}

/// The same with what was put into each.
pub fn specimens() -> Vec<Specimen> {
    let mut all = Vec::new();
    for client in clients::all() {
        for (shape, tree) in shapes::all() {
            all.push(client.write(shape, &tree));
        }
    }
    all.extend(special::all());
    all
}
