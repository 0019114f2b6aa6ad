output "jupyterlab_built_in_lifecycle_config_arn" {
  description = "For aws_sagemaker_domain and _user_profile: jupyter_lab_app_settings.built_in_lifecycle_config_arn."
  value       = aws_sagemaker_studio_lifecycle_config.this["space"].arn
}

output "jupyter_server_lifecycle_config_arn" {
  description = "For Studio Classic: jupyter_server_app_settings, as default_resource_spec.lifecycle_config_arn and in lifecycle_config_arns."
  value       = aws_sagemaker_studio_lifecycle_config.this["classic"].arn
}

output "notebook_instance_lifecycle_config_name" {
  description = "For aws_sagemaker_notebook_instance: lifecycle_config_name."
  value       = aws_sagemaker_notebook_instance_lifecycle_configuration.this.name
}

output "policy_arn" {
  description = "The policy of the apps' execution role."
  value       = aws_iam_policy.this.arn
}
