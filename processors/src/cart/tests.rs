//! What the rule of cart decides, case by case.
