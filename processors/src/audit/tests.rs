//! What the rule of audit decides, case by case.
