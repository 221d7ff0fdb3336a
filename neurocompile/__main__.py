from neurocompile.cli import main

main()
