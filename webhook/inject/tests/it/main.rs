//! The decision and the patch from outside: examples to read (`testdata/`), and properties of every pod.

mod admission;
mod case;
mod goldens;
mod invariants;
mod pods;
mod properties;
mod size;
