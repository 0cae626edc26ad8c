//! What the rule of product decides, case by case.
