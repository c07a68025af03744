//! The decision and the patch from outside: examples to read (`testdata/`), and properties of every pod.

mod admission;
mod attack;
mod case;
mod decision;
mod goldens;
mod invariants;
mod isolation;
mod kubelet;
mod pods;
mod private_volumes;
mod properties;
mod settings;
mod size;
