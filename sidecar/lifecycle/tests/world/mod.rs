//! An imitation of everything around the machine, on a simulated clock.

pub(crate) mod ado;
pub(crate) mod plan;
pub(crate) mod pod;
